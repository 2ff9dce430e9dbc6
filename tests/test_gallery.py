"""Galleries show the stored pictures of test cases with their scores, in the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from handmade import FOLD_0, FOLD_1, PERFECT_0, PERFECT_1, Scans, end, key, plan
from PIL import Image

from benchbench.cli.report import report_command
from benchbench.errors import IntegrityError
from benchbench.images.planes import Plane
from benchbench.metrics.masks import pack
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.report import write_report
from benchbench.report.figures import Figure
from benchbench.report.figures.canvas import figure_style
from benchbench.report.figures.gallery import draw_galleries
from benchbench.report.figures.gallery_choice import MOST_MODELS, choose_gallery
from benchbench.report.figures.mask_overlay import PALETTE, fill_colours, overlay, read_picture
from benchbench.report.page.gallery_links import gallery_links
from benchbench.tables.results import PHANTOM_NOTE, read_results

SHAPE = (3, 24, 20)
PLANES = (Plane("slice 2 of 3", 0, 1, (0, 24), (0, 20)),)
THREE = (
    Plane("axial", 0, 1, (0, 24), (0, 20)),
    Plane("coronal", 1, 9, (0, 3), (0, 20), aspect=6.0),
    Plane("sagittal", 2, 9, (0, 3), (0, 24), aspect=6.0),
)


def jpeg(seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 20)).astype(np.uint8)).save(content, "JPEG")
    return content.getvalue()


def disc(radius: int) -> np.ndarray:
    _, down, across = np.indices(SHAPE)
    return (down - 12) ** 2 + (across - 10) ** 2 < radius**2


def picture(case: str, plane: Plane, number: int) -> dict[str, object]:
    """Return the row of a plane of a case, with a disc as its reference."""
    reference = {"region": "disc", "colour": "", **pack(np.ascontiguousarray(plane.cut(disc(8))))}
    return {"case": case, **plane._asdict(), "image": jpeg(number), "truth": [reference]}


def end_with_pictures(
    folder: ResultsFolder,
    run: RunKey,
    scans: Scans,
    planes: Sequence[Plane] = PLANES,
    *,
    further: Sequence[Plane] = (),
) -> None:
    """End a run that stores a disc as the reference of each case and a smaller one as its prediction."""
    tables = {
        "pictures.parquet": [
            picture(case, plane, number) for number, case in enumerate(scans) for plane in planes
        ],
        "predictions.parquet": [{"case": case, "region": "disc", **pack(disc(5))} for case in scans],
    }
    if further:
        tables["planes.parquet"] = [picture(case, plane, 10 + plane.at) for case in scans for plane in further]
    for name, rows in tables.items():
        folder.run(run).write_table(name, pa.Table.from_pylist(rows))
    digests = {name: folder.run(run).digest_of(name) for name in tables}
    end(folder, run, with_all_slices(scans), pictures=digests)


def with_all_slices(scans: Scans) -> Scans:
    """Return counts with as many slices as the masks have; voxels that are not counted are ignored ones."""
    filled: dict[str, dict[str, list[tuple[int, int, int, int]]]] = {}
    for case, regions in scans.items():
        filled[case] = {}
        for region, counts in regions.items():
            filled[case][region] = [*counts, *[(0, 0, 0, 0)] * (SHAPE[0] - len(counts))]
    return filled


@pytest.mark.usefixtures("svg_only")
@pytest.mark.parametrize("change", ["add", "remove", "cut"])
def test_masks_that_do_not_have_the_recorded_counts_are_refused_although_their_digest_was_corrected(
    tmp_path: Path, change: str
) -> None:
    folder = plan(tmp_path, [key("grand", 0)])
    run = folder.run(key("grand", 0))
    size = SHAPE[1] * SHAPE[2]
    mask = disc(5)
    counts = [(int(part.sum()), 0, 0, size - int(part.sum())) for part in mask]
    end_with_pictures(folder, key("grand", 0), {case: {"disc": counts} for case in ("a", "b", "c")})
    assert len(galleries(folder)) == 1
    forged = {"add": disc(6), "remove": disc(4), "cut": mask[:-1]}[change]
    rows = [{"case": case, "region": "disc", **pack(forged)} for case in ("a", "b", "c")]
    run.write_table("predictions.parquet", pa.Table.from_pylist(rows))
    record = run.read_record()
    assert record is not None
    files = {**record.files, "predictions.parquet": run.digest_of("predictions.parquet")}
    run.write_record(replace(record, files=files))
    with pytest.raises(
        IntegrityError, match=r"predictions\.parquet: case [abc], region disc: differs from slices"
    ):
        galleries(folder)


def with_pictures(
    path: Path,
    models: Sequence[str],
    *,
    planes: Sequence[Plane] = PLANES,
    further: Sequence[Plane] = (),
    **options: object,
) -> ResultsFolder:
    """Return two folds of each model; the first model is perfect."""
    keys = [key(model, fold) for model in models for fold in (0, 1)]
    folder = plan(path, keys, **options)
    for run in keys:
        scans = (PERFECT_0, PERFECT_1) if run.model == models[0] else (FOLD_0, FOLD_1)
        end_with_pictures(folder, run, scans[run.fold], planes, further=further)
    return folder


def galleries(folder: ResultsFolder) -> list[Figure]:
    with figure_style():
        return list(draw_galleries(folder, read_results(folder)))


def gallery_files(folder: ResultsFolder) -> set[str]:
    return {path.name for path in (folder.path / "figures").glob("gallery*")}


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.usefixtures("svg_only")
def test_known_sides_of_the_patient_are_marked_at_the_borders(tmp_path: Path) -> None:
    planes = [plane._replace(sides=("A", "P") if plane.axis == 2 else ("R", "L")) for plane in THREE]
    (figure,) = galleries(with_pictures(tmp_path / "known", ["grand"], planes=planes))
    texts = words(figure.svg)
    n_cells = 3 * 3  # image, reference and prediction of three cases
    assert [texts.count(letter) for letter in "RLAP"] == [2 * n_cells, 2 * n_cells, n_cells, n_cells]
    assert "R and L are the patient's right and left" in figure.caption
    (unknown,) = galleries(with_pictures(tmp_path / "unknown", ["grand"]))
    assert not {"R", "L"} & set(words(unknown.svg))
    assert "right and left" not in unknown.caption


@pytest.mark.usefixtures("svg_only")
def test_models_are_side_by_side_from_the_best_with_the_score_of_each_case(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["grand", "plain"])
    (figure,) = galleries(folder)
    texts = words(figure.svg)
    assert texts[:4] == ["image", "reference", "grand", "plain"]
    # means over models: a 1, c 1, d 5/6, b 3/4, e 1/2, f 1/2; most disputed e of range 1, once f is the worst
    at = texts.index("Best: a · slice 2 of 3")
    assert texts[at + 1 : at + 3] == ["1.000 (case)", "1.000 (case)"]
    at = texts.index("Median: d · slice 2 of 3")
    assert texts[at + 1 : at + 3] == ["1.000 (case)", "0.667 (case)"]
    at = texts.index("Worst: f · slice 2 of 3")
    assert texts[at + 1 : at + 3] == ["1.000 (case)", "0.000 (case)"]
    assert "Most disputed: e · slice 2 of 3" in texts


@pytest.mark.usefixtures("svg_only")
def test_dots_of_the_chosen_cases_link_to_their_rows_of_the_gallery(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["grand", "plain"])
    write_report(folder)
    page = (folder.path / "index.html").read_text()
    chosen = {"best": "a", "median": "d", "worst": "f", "most-disputed": "e"}
    links = dict(
        re.findall(r'<a href="#(gallery-row-[a-z-]+)" aria-label="(\w+): [0-9.]+; click for its pictures">', page)
    )
    assert links == {f"gallery-row-{rule}": case for rule, case in chosen.items()}
    for name in links:
        assert page.count(f'id="{name}"') == 1
    assert "A dot with an outline links to the pictures of its patient." in page
    assert (folder.path / "figures" / "gallery.svg").read_text().split("\n", 1)[1] in page, "the drawing itself"
    assert 'class="slider"' not in page, "these runs stored no further slices"
    assert gallery_links(read_results(folder), []) == {"discs": {}}, "a page without pictures has no links"


@pytest.mark.usefixtures("svg_only")
def test_every_model_is_pixels_on_the_same_image_which_is_stored_once(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["grand", "plain"])
    (figure,) = galleries(folder)
    assert figure.svg.count("data:image/jpeg") == len({"a", "b", "c"})  # the images of both folds are equal
    assert figure.svg.count("data:image/png") == 2  # one reference, one prediction for all models
    assert figure.svg.count("<use ") == 4 * (1 + 3 * 2)


@pytest.mark.usefixtures("svg_only")
def test_a_volume_is_shown_in_three_planes(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["grand", "plain"], planes=THREE)
    (figure,) = galleries(folder)
    assert "Best: a · axial, coronal, sagittal" in words(figure.svg)
    assert figure.svg.count("<use ") == 4 * 3 * (1 + 3 * 2)


@pytest.mark.slow
@pytest.mark.usefixtures("svg_only")
def test_only_the_best_of_many_models_are_shown_and_the_caption_says_so(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, [f"model_{number}" for number in range(7)])
    (figure,) = galleries(folder)
    assert sum(word.startswith("model_") for word in words(figure.svg)) == MOST_MODELS
    assert "The 5 of 7 models with the best mean are shown." in figure.caption


@pytest.mark.usefixtures("svg_only")
def test_only_the_lowest_of_several_seeds_is_shown_and_the_caption_says_so(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0, seed=seed) for seed in (2, 1)])
    end_with_pictures(folder, key("plain", 0, seed=2), PERFECT_0)
    end_with_pictures(folder, key("plain", 0, seed=1), FOLD_0)
    (figure,) = galleries(folder)
    assert "0.500 (case)" in words(figure.svg)  # case b of FOLD_0
    assert "Runs of seed 1 are shown, of 2 seeds." in figure.caption


def test_runs_without_pictures_are_left_out(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, 0) for model in ("old", "new")])
    end(folder, key("old", 0), PERFECT_0)
    assert galleries(folder) == []
    end_with_pictures(folder, key("new", 0), FOLD_0)
    choice = choose_gallery(read_results(folder), "discs")
    assert choice is not None
    assert choice.models == ["new"]


@pytest.mark.slow
def test_a_gallery_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["plain"])
    (figure,) = galleries(folder)
    assert all(len(content) > 1000 for content in (figure.svg, figure.pdf, figure.png))
    assert galleries(folder) == [figure]


@pytest.mark.usefixtures("svg_only")
def test_without_pictures_no_gallery_is_written_and_an_old_one_is_removed(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["plain"])
    write_report(folder)
    assert gallery_files(folder) == {"gallery.svg", "gallery.pdf", "gallery.png"}
    assert CliRunner().invoke(report_command, [str(tmp_path), "--no-pictures"]).exit_code == 0
    assert gallery_files(folder) == set()
    assert (tmp_path / "figures" / "cases.svg").exists()


@pytest.mark.usefixtures("svg_only")
def test_names_from_outside_are_text_and_not_markup(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["<script>alert(1)</script>", "plain & $x$"])
    (figure,) = galleries(folder)
    assert "<script" not in figure.svg
    ET.fromstring(figure.svg)  # noqa: S314 our own file


@pytest.mark.usefixtures("svg_only")
def test_a_gallery_of_phantom_data_carries_a_note(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["plain"], phantom=True)
    (figure,) = galleries(folder)
    assert PHANTOM_NOTE in figure.svg


def test_a_mask_has_a_solid_outline_a_faint_fill_and_a_dark_halo() -> None:
    mask = np.zeros((12, 12), bool)
    mask[2:10, 2:10] = True
    pixels = overlay([mask], ["#ff0000"], (12, 12))
    assert pixels[2, 5].tolist() == pixels[3, 5].tolist() == [255, 0, 0, 255]
    assert pixels[5, 5, :3].tolist() == [255, 0, 0]
    assert 0 < pixels[5, 5, 3] < 128
    assert pixels[1, 5, :3].tolist() == [0, 0, 0]
    assert pixels[0, 5].tolist() == [0, 0, 0, 0]


def test_a_later_region_covers_an_earlier_one() -> None:
    outer, inner = np.ones((12, 12), bool), np.zeros((12, 12), bool)
    inner[4:8, 4:8] = True
    pixels = overlay([outer, inner], ["#ff0000", "#00ff00"], (12, 12))
    assert pixels[5, 5, :3].tolist() == [0, 255, 0]
    assert pixels[1, 1, :3].tolist() == [255, 0, 0]


def test_regions_without_a_colour_get_different_ones_from_the_palette() -> None:
    assert fill_colours(["", "#123456", ""]) == [PALETTE[0], "#123456", PALETTE[1]]


@pytest.mark.parametrize("size", [(20, 24), (10, 12), (40, 48)])
def test_a_picture_is_scaled_to_the_requested_size(size: tuple[int, int]) -> None:
    assert read_picture(jpeg(0), size).shape == (size[1], size[0], 3)
