"""Predictions of other tools as rows: the same metrics on the same cases, and every refusal by name."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from carry import carry
from commands import benchbench
from test_spec_errors import VALID, problems
from toy_benchmark import BENCHMARK, Finished

from benchbench.data.split_file import folds_of
from benchbench.errors import DataError
from benchbench.launch.job_file import read_job_file, runs_of
from benchbench.records.folder import ResultsFolder
from benchbench.registry.registry import discover
from benchbench.spec.benchmark import read_benchmark

ENTRY = '[[external]]\nname = "nnU-Net 2.8"\npredictions = "nnunet"\ngmacs = 2.5\n'
SHIFT = 3


def write_predictions(squares: Finished, root: Path) -> dict[str, float]:
    """Write references moved by three rows as nnU-Net stores them, and return case -> Dice counted by hand."""
    from toy_plugin import Squares  # its folder is on the path in tests alone

    benchmark = read_benchmark(squares.file, check=discover(["toy"]).check)
    dataset = Squares(squares.data / "squares")
    dice: dict[str, float] = {}
    for fold in folds_of(dataset.cases(), benchmark.variants[0].protocol):
        folder = root / f"fold_{fold.number}" / "validation"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text("{}")
        for case in fold.part("test"):
            label = dataset.load(case.id).label
            moved = np.roll(label, SHIFT, axis=1)
            nib.save(nib.Nifti1Image(moved, np.eye(4)), folder / f"{case.id}.nii.gz")
            # 12 rows of which 9 overlap, but for a square that leaves the image and comes back
            dice[case.id] = 2 * float((label & moved).sum()) / float(label.sum() + moved.sum())
    return dice


@pytest.fixture
def squares(finished: Finished, tmp_path: Path) -> Finished:
    """A finished benchmark of which only the external row is left to do."""
    copied = finished.copy(tmp_path)
    copied.file.write_text(BENCHMARK + ENTRY)
    return copied


def carried(squares: Finished) -> ResultsFolder:
    folder, _, recorder = carry(squares.file, squares.data, squares.root)
    assert {key.model for key, _ in recorder.events} <= {"nnU-Net 2.8"}, "the trained runs are done"
    return folder


@pytest.mark.usefixtures("without_figures")
def test_a_model_of_nnunet_is_a_row_with_the_scores_of_its_files(squares: Finished, tmp_path: Path) -> None:
    expected = write_predictions(squares, tmp_path / "nnunet")
    folder = carried(squares)
    folds = pd.read_csv(folder.path / "folds.csv")
    rows = folds[folds["model"] == "nnU-Net 2.8"]
    assert set(rows["status"]) == {"done"}
    assert rows["external"].unique().tolist() == ["training data unknown, selection unknown"]
    mean = np.mean(list(expected.values()))
    summary = pd.read_csv(folder.path / "summary.csv")
    line = summary[
        (summary["model"] == "nnU-Net 2.8") & (summary["metric"] == "dice") & (summary["aggregate"] == "case")
    ]
    assert line["mean"].iloc[0] == pytest.approx(mean, abs=1e-9)
    text = (folder.path / "leaderboard.md").read_text()
    assert "nnU-Net 2.8" in text
    assert "training data unknown, selection unknown" in text
    compared = benchbench("compare", "nnU-Net 2.8", "plain", "--results", folder.path, cwd=tmp_path)
    assert "nnU-Net 2.8 is external: training data unknown, selection unknown" in compared.stdout


@pytest.mark.usefixtures("without_report")
def test_predictions_that_change_are_scored_again(squares: Finished, tmp_path: Path) -> None:
    write_predictions(squares, tmp_path / "nnunet")
    folder = carried(squares)
    (key, *_) = [run.key for run in folder.read_manifest().runs if run.model == "nnU-Net 2.8"]
    first = folder.run(key).read_record()
    assert first
    assert carried(squares).run(key).read_record() == first
    path = next((tmp_path / "nnunet").glob(f"fold_{key.fold}/validation/*.nii.gz"))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), np.eye(4)), path)
    second = carried(squares).run(key).read_record()
    assert second
    assert second.digest != first.digest
    assert second.files["cases.parquet"] != first.files["cases.parquet"]


def test_a_written_plan_scores_external_rows_and_leaves_labelled_models_to_workers(
    squares: Finished, tmp_path: Path
) -> None:
    write_predictions(squares, tmp_path / "nnunet")
    text = squares.file.read_text().replace('name = "plain"', 'name = "plain"\nlabel = "another"')
    squares.file.write_text(text)
    words = ["plan", squares.file, "--write", "--data-root", squares.data, "--results", squares.results]
    done = benchbench(*words, "--cache", squares.cache, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    jobs = read_job_file(squares.folder)
    assert {run.key.model for run in runs_of(jobs, squares.folder)} == {"another"}
    assert {job.key.model for job in jobs.jobs} == {"another"}
    assert f"{len(jobs.jobs)} to do" in done.stdout
    external = [run.key for run in squares.folder.read_manifest().runs if run.model == "nnU-Net 2.8"]
    records = [squares.folder.run(key).read_record() for key in external]
    assert {record.status for record in records if record} == {"done"}
    assert len(records) == len(external) == 2


@pytest.mark.usefixtures("without_report")
def test_missing_cases_wrong_grids_and_cases_of_other_folds_are_refused_by_name(
    squares: Finished, tmp_path: Path
) -> None:
    write_predictions(squares, tmp_path / "nnunet")
    first, second = sorted((tmp_path / "nnunet/fold_0/validation").glob("*.nii.gz"))
    other = min((tmp_path / "nnunet/fold_1/validation").glob("*.nii.gz"))
    first.unlink()
    voxels = np.asarray(nib.load(second).dataobj)
    nib.save(nib.Nifti1Image(voxels[:, :-1], np.eye(4)), second)
    (second.parent / other.name).write_bytes(other.read_bytes())
    strange = np.where(voxels > 0, 7, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(strange, np.eye(4)), other)
    with pytest.raises(DataError) as caught:
        carried(squares)
    text = "\n".join(caught.value.problems)
    names = [path.name.removesuffix(".nii.gz") for path in (first, second, other)]
    assert f"external.nnU-Net 2.8, fold 0: case {names[0]}: no prediction " in text
    assert "found shape (3, 31, 32), expected (3, 32, 32); resample it to the grid of the case" in text
    assert f"fold 0: case {names[2]}: found {other.name}, expected the tested cases alone, but it is" in text
    assert "found label 7, expected 0, 1; give the labels of its regions as `labels`" in text


@pytest.mark.usefixtures("without_report")
def test_a_pattern_without_folds_and_labels_of_the_tool_are_read(squares: Finished, tmp_path: Path) -> None:
    expected = write_predictions(squares, tmp_path / "nnunet")
    for path in (tmp_path / "nnunet").glob("fold_*/validation/*.nii.gz"):
        case = path.name.removesuffix(".nii.gz")
        target = tmp_path / "monai" / case / f"{case}_seg.nii.gz"
        target.parent.mkdir(parents=True)
        voxels = np.asarray(nib.load(path).dataobj)
        nib.save(nib.Nifti1Image(voxels * 5, np.eye(4)), target)
    entry = ENTRY.replace('"nnunet"', '"monai/{case}/{case}_seg.nii.gz"') + "labels = { square_0 = [5] }\n"
    squares.file.write_text(BENCHMARK + entry)
    folder = carried(squares)
    dice: dict[str, float] = {}
    for run in folder.read_manifest().runs:
        if run.model == "nnU-Net 2.8":
            record = folder.run(run.key).read_record()
            assert record
            assert record.cost == {"gmacs": 2.5}
            for row in folder.run(run.key).read_table("cases.parquet", record).to_pylist():
                dice[row["case"]] = 2 * row["tp"] / (2 * row["tp"] + row["fp"] + row["fn"])
    assert dice == pytest.approx(expected)


def test_a_rehearsal_has_no_external_rows(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(VALID + ENTRY)
    assert len(read_benchmark(path, check=lambda *_: ()).external) == 1
    assert read_benchmark(path, check=lambda *_: (), rehearse=True).external == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"nnU-Net 2.8"', '"plain"', "b.toml:12: external.plain: another row has this name; choose another"),
        ("gmacs = 2.5", 'dataset = "disks"', "b.toml:14: external.nnU-Net 2.8.dataset: no such dataset 'disks'; did you mean 'discs'?"),
        ("gmacs = 2.5", 'variant = "a"', "b.toml:14: external.nnU-Net 2.8.variant: no such variant 'a'; known: default"),
        ("gmacs = 2.5", "gmacs = 0", "b.toml:14: external.nnU-Net 2.8.gmacs: input should be greater than 0, found 0"),
    ],
)  # fmt: skip
def test_a_problem_of_an_external_row_names_file_line_and_key(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert problems(tmp_path, VALID + ENTRY.replace(old, new)) == [expected]


def test_a_folder_without_folds_of_nnunet_is_refused(squares: Finished, tmp_path: Path) -> None:
    (tmp_path / "nnunet").mkdir()
    done = benchbench("plan", squares.file, cwd=tmp_path)
    assert done.returncode == 3
    assert (
        "no label map in fold_*/validation, expected the folder of a model that nnU-Net has trained" in done.stderr
    )
