"""Scoring of prediction files of any tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from benchbench.cli import cli
from benchbench.errors import DataError, UsageError
from benchbench.scoring import Scores, Scoring, pair_files, read_labels, score_paths

SPACING = (1.0, 1.0, 3.0)


def blank() -> np.ndarray:
    return np.zeros((6, 6, 4), dtype=np.uint8)


def lesion(label: int = 1, at: int = 1) -> np.ndarray:
    labels = blank()
    labels[at : at + 2, 1:3, 1:3] = label
    return labels


def save(path: Path, labels: np.ndarray, *, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, labels, photometric="minisblack")
    else:
        nibabel.save(nibabel.Nifti1Image(labels, np.diag([*SPACING, 1]) if affine is None else affine), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return references and predictions of three cases: off by one voxel, missed, and correctly empty."""
    for name, reference, prediction in (
        ("a", lesion(), lesion(at=2)),
        ("b", lesion(), blank()),
        ("c", blank(), blank()),
    ):
        save(tmp_path / "reference" / f"{name}.nii.gz", reference)
        save(tmp_path / "prediction" / f"{name}.nii.gz", prediction)
    return tmp_path / "reference", tmp_path / "prediction"


def score(folders: tuple[Path, Path], **changes: Any) -> Scores:
    rules: dict[str, Any] = {"regions": {"tumour": (1,)}, "metrics": ("dice", "hd95", "nsd@1"), **changes}
    return score_paths(*folders, Scoring(**rules))


def line(scores: Scores, **where: object) -> dict[str, Any]:
    table = scores.summary
    for name, value in where.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row


def test_every_case_is_scored_by_the_rules_of_a_benchmark(folders: tuple[Path, Path]) -> None:
    scores = score(folders)
    diagonal = np.linalg.norm([6, 6, 12])
    cases = scores.cases.set_index("case")
    assert list(cases["dice"]) == [0.5, 0, 1]
    assert list(cases["hd95_mm"]) == pytest.approx([1, diagonal, 0])
    assert list(cases.loc["a", ["tp", "fp", "fn", "tn"]]) == [4, 4, 4, 132]
    dice = line(scores, metric="dice", aggregate="case", region="tumour")
    assert (dice["mean"], dice["dice_pos"]) == (pytest.approx(0.5), pytest.approx(0.25))
    assert (dice["n"], dice["n_ref_empty"], dice["n_penalised"], dice["n_nan"]) == (3, 1, 1, 0)
    assert dice["note"] == "3 cases are too few for an interval; 10 are the least"
    far = line(scores, metric="hd95_mm", region="tumour")
    assert (far["mean"], far["median"]) == (pytest.approx((1 + diagonal) / 3), 1)
    assert line(scores, metric="dice", aggregate="pooled", region="tumour")["mean"] == pytest.approx(8 / 24)
    assert scores.notes == ["region 'tumour': 33% of the references are empty; this raises the mean, see dice_pos"]
    assert "slice" not in set(scores.summary["aggregate"])


def test_the_requested_rule_for_empty_masks_is_applied(folders: tuple[Path, Path]) -> None:
    scores = score(folders, empty="monai")
    assert list(scores.cases["dice"]) == pytest.approx([0.5, 0, np.nan], nan_ok=True)
    assert list(scores.cases["hd95_mm"].isna()) == [False, False, True]
    assert line(scores, metric="dice", aggregate="case", region="tumour")["mean"] == pytest.approx(0.25)


def test_regions_are_sets_of_labels_and_may_overlap(tmp_path: Path) -> None:
    reference = lesion(1) + lesion(2, at=3)
    prediction = lesion(1) + lesion(4, at=3)
    save(tmp_path / "reference" / "a.nii", reference)
    save(tmp_path / "prediction" / "a.nii", prediction)
    both = (tmp_path / "reference", tmp_path / "prediction")
    scores = score(both, regions={"core": (1,), "two": (2,), "whole": (1, 2, 4)}, metrics=("dice",))
    assert list(scores.cases["dice"]) == [1, 0, 1]
    assert line(scores, region="mean", aggregate="case")["mean"] == pytest.approx(2 / 3)


def test_a_case_without_a_prediction_is_refused_or_scored_as_the_worst_but_never_dropped(
    folders: tuple[Path, Path],
) -> None:
    for name in "ac":
        (folders[1] / f"{name}.nii.gz").unlink()
    with pytest.raises(DataError, match="2 of 3 cases without a prediction; make them, or score them") as caught:
        score(folders)
    assert caught.value.problems[0] == f"a: no prediction in {folders[1]}"
    scores = score(folders, missing="worst", metrics=("dice", "accuracy", "hd95", "nsd@1"))
    assert scores.missing == ("a", "c")
    cases = scores.cases.set_index("case")
    diagonal = np.linalg.norm([6, 6, 12])
    assert list(cases["dice"]) == [0, 0, 0]  # c too, although its reference is empty
    assert list(cases["accuracy"]) == [0, 136 / 144, 0]
    assert list(cases["hd95_mm"]) == pytest.approx([diagonal] * 3)
    assert list(cases["nsd@1_mm"]) == [0, 0, 0]
    assert scores.notes[0] == "2 cases without a prediction, counted as wrong in every voxel: a, c"


def test_predictions_without_a_reference_are_counted(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "z.nii.gz", lesion())
    scores = score(folders)
    assert (scores.extra, scores.cases["case"].nunique()) == (("z",), 3)
    assert "1 prediction without a reference, not scored: z" in scores.notes


def test_two_files_of_one_case_are_refused(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "a.tif", lesion())
    with pytest.raises(DataError, match=r"a\.tif: found a\.nii\.gz as well, expected one file per case"):
        score(folders)


def test_every_case_on_another_grid_is_reported(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "a.nii.gz", lesion()[:, :, :3])
    save(folders[1] / "b.nii.gz", lesion().transpose(2, 1, 0), affine=np.diag([3, 1, 1, 1]))
    save(folders[1] / "c.nii.gz", blank(), affine=np.diag([-1, 1, 3, 1]))
    with pytest.raises(DataError) as caught:
        score(folders)
    assert caught.value.problems == (
        "a: found a prediction of shape (6, 6, 3), expected (6, 6, 4); resample it to the grid of the reference",
        "b: found a prediction of shape (4, 6, 6), expected (6, 6, 4); transpose its axes",
        (
            "c: found a prediction at another position (affines differ by 2), expected the grid of the reference;"
            " resample it, or correct its header if that is wrong"
        ),
    )


def test_an_unknown_label_is_an_error(folders: tuple[Path, Path]) -> None:
    save(folders[1] / "a.nii.gz", lesion(label=4))
    with pytest.raises(
        DataError, match=r"a: .*prediction/a\.nii\.gz: found label 4, expected 0, 1; add it to --labels"
    ):
        score(folders)
    assert score(folders, background=frozenset({0, 4})).cases["dice"][0] == 0
    save(folders[0] / "b.nii.gz", lesion(label=9))
    with pytest.raises(DataError, match=r"reference/b\.nii\.gz: found label 9"):
        score(folders, regions={"tumour": (1, 4)})


def test_files_without_spacing_are_measured_in_pixels_and_formats_may_differ(tmp_path: Path) -> None:
    save(tmp_path / "reference" / "a.tif", lesion())
    save(tmp_path / "prediction" / "a.nii", lesion(at=2))
    scores = score((tmp_path / "reference", tmp_path / "prediction"))
    assert scores.cases["hd95_px"][0] == 1
    assert "hd95_mm" not in scores.cases


def test_a_file_is_scored_against_a_file_whatever_their_names(folders: tuple[Path, Path]) -> None:
    references, predictions = pair_files(folders[0] / "a.nii.gz", folders[1] / "b.nii.gz")
    assert list(references) == list(predictions) == ["a"]
    with pytest.raises(DataError, match="found a file and a folder"):
        pair_files(folders[0] / "a.nii.gz", folders[1])
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        pair_files(folders[0], folders[1] / "nowhere")
    (folders[0].parent / "empty").mkdir()
    with pytest.raises(DataError, match="empty: found no label map"):
        pair_files(folders[0], folders[0].parent / "empty")


def test_predictions_that_are_all_empty_are_scored_with_a_note(tmp_path: Path) -> None:
    save(tmp_path / "reference" / "a.nii", lesion())
    save(tmp_path / "prediction" / "a.nii", blank())
    assert score((tmp_path / "reference", tmp_path / "prediction")).notes == [
        "region 'tumour': every prediction is empty"
    ]


def test_lesions_are_scored_one_by_one_if_requested(tmp_path: Path) -> None:
    reference = np.zeros((40, 40, 40), dtype=np.uint8)
    reference[2:6, 2:6, 2:6] = reference[20:24, 20:24, 20:24] = 1
    prediction = reference.copy()
    prediction[20:24] = 0
    save(tmp_path / "reference" / "a.nii", reference)
    save(tmp_path / "prediction" / "a.nii", prediction)
    both = (tmp_path / "reference", tmp_path / "prediction")
    scores = score(both, lesions="gli")
    assert scores.cases[["brats23_found", "brats23_missed", "brats23_made_up"]].to_numpy().tolist() == [[1, 1, 0]]
    assert line(scores, metric="brats23_dice")["mean"] == 0.5
    assert line(scores, metric="brats23_hd95_mm")["mean"] == 187
    for name in ("reference", "prediction"):
        save(tmp_path / name / "a.nii", lesion())
        (tmp_path / name / "a.nii").unlink()
        save(tmp_path / name / "a.tif", lesion()[:, :, 1])
    with pytest.raises(DataError, match="a: found 2 axes, expected 3 to score lesions"):
        score(both, lesions="gli")


def test_many_cases_have_an_interval(tmp_path: Path) -> None:
    for number in range(18):
        save(tmp_path / "reference" / f"{number}.tif", lesion())
        save(tmp_path / "prediction" / f"{number}.tif", lesion(at=1 + number % 2))
    dice = line(
        score((tmp_path / "reference", tmp_path / "prediction"), metrics=("dice",)),
        aggregate="case",
        region="mean",
    )
    assert 0.5 < dice["low"] < dice["mean"] == 0.75 < dice["high"] < 1
    assert dice["note"] == "18 cases: an interval may be too narrow below 20"


def test_regions_are_read_from_options_and_from_files(tmp_path: Path) -> None:
    assert read_labels(["tumour=1 whole=1,2,4", "core=1"]).regions == {
        "tumour": (1,),
        "whole": (1, 2, 4),
        "core": (1,),
    }
    toml, of_nnunet = tmp_path / "task.toml", tmp_path / "dataset.json"
    toml.write_text("[labels]\ntumour = 1\nwhole = [1, 2]\n")
    of_nnunet.write_text(json.dumps({"labels": {"background": 0, "oedema": [1, 2]}}))
    assert read_labels([], toml).regions == {"tumour": (1,), "whole": (1, 2)}
    assert read_labels(["core=3"], of_nnunet).regions == {"oedema": (1, 2), "core": (3,)}


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        ([], None, "no regions given; assign labels to regions"),
        (["tumour"], None, "--labels tumour: write region=value"),
        (["tumour=one"], None, "write region=value"),
        (["tumour=1", "tumour=2"], None, "region 'tumour' is given twice"),
        (["all=0,1"], None, "region 'all': found label 0, which is background"),
        ([], "{", "cannot be read"),
        ([], '{"labels": {"0": "background", "1": "background"}}', "region 'background': found label 0"),
        ([], "[" * 9999, "cannot be read"),
        ([], "[1]", "no table 'labels' or 'regions'"),
        ([], '{"label": {"a": 1}}', r"no table 'labels' or 'regions'; did you mean 'label'\?"),
        ([], '{"labels": {"a": "1"}}', "labels.a: found '1', expected an integer or a list of integers"),
        ([], '{"labels": {"a": [true]}}', "labels.a: found"),
    ],
)
def test_regions_that_cannot_be_read_are_explained(
    tmp_path: Path, words: list[str], content: str | None, message: str
) -> None:
    path = tmp_path / "task.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_labels(words, path if content is not None else None)


def test_the_command_prints_a_table_and_writes_the_rest(folders: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = [
        "score",
        *map(str, folders),
        "--labels",
        "tumour=1",
        "--metrics",
        "dice,hd95",
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "3 cases, empty masks: score" in done.output
    assert "note: region 'tumour': 33% of the references are empty" in done.output
    cases = pd.read_csv(tmp_path / "out" / "cases.csv")
    assert list(cases["dice"]) == [0.5, 0, 1]
    assert pd.read_parquet(tmp_path / "out" / "cases.parquet")["tp"].tolist() == [4, 0, 0]
    assert set(pd.read_csv(tmp_path / "out" / "summary.csv")["metric"]) == {"dice", "hd95_mm"}


def test_an_unknown_metric_is_a_usage_error(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match=r"--metrics: 'nsd' has no tolerance; write it in mm"):
        score(folders, metrics=("dice", "nsd"))


def test_a_dataset_json_of_nnunet_1_names_each_value(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "liver", "2": "tumour", "3": "tumour", "4": "ignore"}
    path = tmp_path / "dataset.json"
    path.write_text("\ufeff" + json.dumps({"labels": labels}))  # with a byte order mark, as some editors write it
    assert read_labels([], path) == ({"liver": (1,), "tumour": (2, 3)}, frozenset({4}))


def test_files_that_are_not_read_are_all_named(folders: tuple[Path, Path]) -> None:
    names = ("dataset.json", "d.mha", "e.nii.gz.part", ".hidden.nii.gz", "notes.txt", "f.dcm")
    for name in names:
        (folders[1] / name).write_text("x")
    (folders[0] / "sub").mkdir()
    save(folders[0] / "sub" / "g.nii.gz", lesion())
    scores = score(folders)
    assert scores.unread == ("reference/sub/", *(f"prediction/{name}" for name in sorted(names)))
    note = next(note for note in scores.notes if note.startswith("not read"))
    assert all(name in note for name in (*names, "sub/"))


def test_a_missing_prediction_names_the_nearest_file(folders: tuple[Path, Path]) -> None:
    (folders[1] / "a.nii.gz").rename(folders[1] / "a_sa_pred.nii.gz")
    with pytest.raises(DataError) as caught:
        score(folders)
    nearest = "the nearest name there is a_sa_pred: give both the same name"
    assert caught.value.problems[0] == f"a: no prediction in {folders[1]}; {nearest}"


@pytest.mark.parametrize("region", ["[/x]", "[bold]x[/bold]", "[red]", "x[/]", "\x1b[31m"])
def test_markup_in_the_name_of_a_region_is_text(folders: tuple[Path, Path], region: str) -> None:
    task = folders[0].parent / "task.json"
    task.write_text(json.dumps({"labels": {region: 1}}))
    done = CliRunner().invoke(cli, ["score", *map(str, folders), "--task", str(task), "--metrics", "dice"])
    assert done.exit_code == 0, done.exception
    assert region.replace("\x1b", "\\x1b") in done.output


def test_the_number_of_threads_changes_no_score(folders: tuple[Path, Path]) -> None:
    words = ["score", *map(str, folders), "--labels", "tumour=1"]
    one, two = (CliRunner().invoke(cli, [*words, "--threads", number]) for number in ("1", "2"))
    assert one.exit_code == 0
    assert one.output == two.output
