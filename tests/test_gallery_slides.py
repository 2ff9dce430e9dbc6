"""Galleries with a slider move all pictures of a case through its slices, as text and in a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from drawing import only_svg
from handmade import FOLD_0, PERFECT_0, end, graded, key, plan
from PIL import Image
from test_gallery import PLANES, THREE, disc, end_with_pictures, galleries, picture, with_pictures
from test_page import browser  # noqa: F401 a fixture

from benchbench.errors import IntegrityError
from benchbench.images.planes import Plane
from benchbench.metrics.masks import pack
from benchbench.records.folder import ResultsFolder
from benchbench.report import write_report
from benchbench.report.figures import gallery_slides
from benchbench.report.figures.gallery_choice import choose_gallery
from benchbench.report.figures.gallery_files import read_pictures
from benchbench.report.figures.slides import Frame, SlideRow, Slides
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("svg_only")

FURTHER = tuple(Plane(f"slice {at + 1} of 3", 0, at, (0, 24), (0, 20)) for at in (0, 2))


def slides_of(folder: ResultsFolder, *, most: int = gallery_slides.MOST_CHARACTERS) -> Slides | None:
    """Return the slides of a gallery without drawing its files, which takes seconds."""
    results = read_results(folder)
    choice = choose_gallery(results, "discs")
    assert choice is not None
    pictures = read_pictures(folder, results, choice)
    return gallery_slides.slides_of(choice, pictures, legend={}, most_characters=most)


def rows_of(folder: ResultsFolder) -> Sequence[SlideRow]:
    slides = slides_of(folder)
    assert slides is not None
    return slides.rows


def size_of(rows: Sequence[SlideRow]) -> int:
    return sum(frame.size for row in rows for frame in row.frames)


def frames_of(row: SlideRow) -> dict[str, list[Any]]:
    content: dict[str, list[Any]] = json.loads(row.content)
    return content


def test_slices_are_in_their_order_around_the_chosen_one(tmp_path: Path) -> None:
    rows = rows_of(with_pictures(tmp_path, ["grand", "plain"], further=FURTHER))
    assert [(row.rule, row.case) for row in rows] == [
        *(("Best", "a"), ("Median", "d"), ("Worst", "f"), ("Most disputed", "e")),
    ]
    for row in rows:
        assert [frame.label for frame in row.frames] == ["slice 1 of 3", "slice 2 of 3", "slice 3 of 3"]
        assert (row.start, row.label) == (1, "slice 2 of 3")
        assert [cell.name for cell in row.cells] == ["image", "reference", "grand", "plain"]
        frames = frames_of(row)
        assert [bool(image) for image in frames["images"]] == [True, False, True], "the chosen one is on the page"
        assert [len(masks) for masks in frames["masks"]] == [3, 0, 3], "reference and two models"
    assert [cell.note for cell in rows[1].cells] == ["", "", "1.000 (case)", "0.667 (case)"]


def test_every_slice_has_the_masks_of_its_own_position(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("grand", 0)])
    run = key("grand", 0)
    end_with_pictures(folder, run, PERFECT_0, further=FURTHER)
    prediction = np.zeros((3, 24, 20), bool)
    prediction[1:] = disc(5)[1:]  # nothing on the first slice
    rows = [{"case": case, "region": "disc", **pack(prediction)} for case in PERFECT_0]
    folder.run(run).write_table("predictions.parquet", pa.Table.from_pylist(rows))
    files = {name: folder.run(run).digest_of(f"{name}.parquet") for name in ("pictures", "predictions", "planes")}
    counts = [(int(part.sum()), 0, 0, part.size - int(part.sum())) for part in prediction]
    scans = {case: {"disc": counts} for case in PERFECT_0}
    end(folder, run, scans, pictures={f"{name}.parquet": digest for name, digest in files.items()})
    for row in rows_of(folder):
        first, _, last = frames_of(row)["masks"]
        assert [bool(mask) for mask in first] == [True, False]
        assert [bool(mask) for mask in last] == [True, True]


def test_a_volume_moves_through_the_slices_of_its_first_plane(tmp_path: Path) -> None:
    slides = slides_of(with_pictures(tmp_path, ["grand"], planes=THREE, further=FURTHER))
    assert slides is not None
    assert "In a volume, only the upper pictures move." in slides.caption
    row = slides.rows[0]
    assert row.label == "axial, coronal, sagittal"
    assert [len(cell.panels) for cell in row.cells] == [3, 3, 3]
    assert [frame.label for frame in row.frames] == [f"axial, slice {number} of 3" for number in (1, 2, 3)]


def test_runs_of_earlier_versions_have_no_slider(tmp_path: Path) -> None:
    assert slides_of(with_pictures(tmp_path, ["grand", "plain"])) is None


@pytest.mark.slow
def test_files_of_the_gallery_do_not_depend_on_further_slices(tmp_path: Path) -> None:
    (without,) = galleries(with_pictures(tmp_path / "without", ["grand", "plain"]))
    (having,) = galleries(with_pictures(tmp_path / "with", ["grand", "plain"], further=FURTHER))
    assert having.slides is not None
    assert replace(having, slides=None) == without


def test_a_case_whose_run_stored_no_further_slices_has_no_slider(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, ["grand", "plain"])
    end_with_pictures(folder, key("plain", 0), FOLD_0, further=FURTHER)
    slides = slides_of(folder)
    assert slides is not None
    assert {row.case: len(row.frames) for row in slides.rows} == {"a": 3, "d": 0, "f": 0, "e": 0}
    assert "Cases without one were tested by a version that stored no further slices." in slides.caption


@pytest.mark.parametrize(
    ("share", "frames", "sentence"), [(1.0, 3, ""), (0.7, 2, "one of 2 stored slices"), (0.0, 0, "")]
)
def test_fewer_slices_are_on_a_page_that_would_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, frames: int, sentence: str
) -> None:
    monkeypatch.setattr(gallery_slides, "_ENOUGH", 2)
    first = PLANES[0]._replace(at=0)
    folder = with_pictures(tmp_path, ["grand"], planes=[first], further=[*PLANES, FURTHER[1]])
    most = int(share * size_of(rows_of(folder)))
    slides = slides_of(folder, most=most)
    if not frames:
        assert slides is None
        return
    assert slides is not None
    assert {len(row.frames) for row in slides.rows} == {frames}
    assert size_of(slides.rows) <= most
    assert sentence in slides.caption


def test_a_thinned_slider_keeps_the_chosen_slice(tmp_path: Path) -> None:
    (row, *_) = rows_of(with_pictures(tmp_path, ["grand"], further=FURTHER))
    thinned = gallery_slides._thin(row, 2)
    assert [frame.label for frame in thinned.frames] == ["slice 2 of 3"]
    assert thinned.start == 0


def test_pictures_are_made_smaller_before_slices_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_slides, "_SIZES", (20, 12))
    folder = with_pictures(tmp_path, ["grand"], further=FURTHER)
    slides = slides_of(folder, most=size_of(rows_of(folder)) - 1)
    assert slides is not None
    assert {len(row.frames) for row in slides.rows} == {3}
    assert "shown in a lower resolution, to keep the page small" in slides.caption


def test_damaged_further_slices_are_refused_with_file_and_case(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("grand", 0)])
    run = key("grand", 0)
    end_with_pictures(folder, run, PERFECT_0, further=FURTHER)
    rows = [{**picture(case, FURTHER[0], 0), "at": 7} for case in PERFECT_0]
    folder.run(run).write_table("planes.parquet", pa.Table.from_pylist(rows))
    record = folder.run(run).read_record()
    assert record is not None
    files = {**record.files, "planes.parquet": folder.run(run).digest_of("planes.parquet")}
    folder.run(run).write_record(replace(record, files=files))
    with pytest.raises(IntegrityError, match=r"planes\.parquet: case [abc]: damaged"):
        slides_of(folder)


@pytest.mark.slow
def test_a_page_of_twenty_models_with_sliders_stays_under_three_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = graded(tmp_path, {f"model_{number:02}": 0.01 * number for number in range(20)})
    add_large_pictures(folder, monkeypatch)
    write_report(folder)
    page = (folder.path / "index.html").read_text()
    assert page.count('class="slider"') == 4
    assert len(page.encode()) < 3_000_000


def add_large_pictures(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add pictures of noise, which compress badly, and 15 further slices to all runs; masks are not counted again."""
    monkeypatch.setattr("benchbench.report.figures.gallery_files._recount", lambda *_: None)
    generator = np.random.default_rng(0)
    images = [noise(generator, 320), *[noise(generator, 192) for _ in range(15)]]
    masks = np.zeros((16, 256, 256), bool)
    masks[:, 40:200, 40:200] = generator.integers(0, 2, (16, 20, 20)).repeat(8, 1).repeat(8, 2) > 0
    results = read_results(folder)
    for run, record in results.records.items():
        planes, further, predictions = [], [], []
        for case in dict.fromkeys(results.cases_of([run])["case"]):
            for at, image in enumerate(images):
                plane = Plane(f"slice {at + 1} of 16", 0, at, (0, 256), (0, 256))
                reference = {"region": "disc", "colour": "", **pack(masks[at])}
                row = {"case": case, **plane._asdict(), "image": image, "truth": [reference]}
                (further if at else planes).append(row)
            predictions.append({"case": case, "region": "disc", **pack(masks[::-1])})
        files = dict(record.files)
        for name, rows in (("pictures", planes), ("planes", further), ("predictions", predictions)):
            folder.run(run).write_table(f"{name}.parquet", pa.Table.from_pylist(rows))
            files[f"{name}.parquet"] = folder.run(run).digest_of(f"{name}.parquet")
        folder.run(run).write_record(replace(record, files=files))


def noise(generator: np.random.Generator, size: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (size, size, 3)).astype(np.uint8)).save(content, "JPEG", quality=70)
    return content.getvalue()


class Opened:
    """A page in a browser, with its messages and requests."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:  # noqa: F811 the fixture
        self.page = browser.new_page(**options)
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def pictures(self, row: str) -> list[str]:
        """Return the images and masks that a row shows."""
        pictures: list[str] = self.page.eval_on_selector_all(
            f"#{row} image", "images => images.map(image => image.getAttribute('href'))"
        )
        return pictures

    def label(self, row: str) -> str:
        return str(self.page.locator(f"#{row} output").inner_text())

    def assert_quiet(self) -> None:
        assert self.messages == []
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of two models whose runs stored further slices."""
    folder = with_pictures(tmp_path_factory.mktemp("slides"), ["grand", "plain"], further=FURTHER)
    with only_svg():
        write_report(folder)
    return folder.path / "index.html"


BEST = "gallery-row-best"


def test_a_dot_of_the_chart_leads_to_the_pictures_of_its_patient(page: Path, browser: Any) -> None:  # noqa: F811
    opened = Opened(browser, page, viewport={"width": 1280, "height": 800})
    opened.page.locator(f'a[href="#{BEST}"]').first.focus()
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("location.hash") == f"#{BEST}"
    row = opened.page.locator(f"#{BEST}")
    assert row.inner_text().split("\n")[0].startswith("Best: a slice 2 of 3")
    assert 0 <= row.bounding_box()["y"] < 800
    opened.assert_quiet()


def test_the_slider_moves_all_pictures_of_its_case_alone(page: Path, browser: Any) -> None:  # noqa: F811
    opened = Opened(browser, page)
    before, other = opened.pictures(BEST), opened.pictures("gallery-row-median")
    slider = opened.page.get_by_label("Slice of a", exact=True)
    slider.focus()
    opened.page.keyboard.press("ArrowRight")
    after = opened.pictures(BEST)
    assert opened.label(BEST) == "slice 3 of 3"
    assert slider.get_attribute("aria-valuetext") == "slice 3 of 3"
    assert len(after) == 4
    assert after[0] != before[0], "the image of another slice"
    assert after[0].startswith("data:image/jpeg;base64,")
    assert opened.pictures("gallery-row-median") == other
    row = opened.page.locator(f"#{BEST}")
    assert row.get_by_label("Next slice of a").is_disabled()
    row.get_by_label("Previous slice of a").click()
    assert (opened.label(BEST), opened.pictures(BEST)) == ("slice 2 of 3", before)
    opened.assert_quiet()


def test_paper_has_the_chosen_slice_and_no_slider(page: Path, browser: Any) -> None:  # noqa: F811
    opened = Opened(browser, page)
    before = opened.pictures(BEST)
    opened.page.get_by_label("Next slice of a").click()
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    opened.page.emulate_media(media="print")
    assert opened.pictures(BEST) == before
    assert not opened.page.locator(f"#{BEST} .slider").is_visible()
    opened.page.emulate_media(media="screen")
    opened.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert opened.label(BEST) == "slice 3 of 3"


@pytest.mark.parametrize("width", [1280, 390])
def test_without_scripts_the_chosen_slice_is_shown(page: Path, browser: Any, width: int) -> None:  # noqa: F811
    opened = Opened(browser, page, java_script_enabled=False, viewport={"width": width, "height": 800})
    assert not opened.page.locator(".slider").first.is_visible()
    assert opened.label(BEST) == "slice 2 of 3"
    boxes: Sequence[Any] = [panel.bounding_box() for panel in opened.page.locator(f"#{BEST} svg.panel").all()]
    assert len(boxes) == 4
    assert all(box["width"] > 80 and box["x"] + box["width"] <= width for box in boxes)


def test_content_of_a_page_is_no_markup() -> None:
    frame = Frame("</script><b>", "", ())
    row = SlideRow(name="row", rule="Best", case="a", label="", cells=(), frames=[frame])
    assert "<" not in row.content
    assert frames_of(row)["labels"] == ["</script><b>"]
