"""`benchbench.load`, `results`, `score` and `predictor`: the same values as the command line, in Python."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from carry import Recorder
from commands import benchbench as command
from phantom_runs import PLUGINS, PhantomRun
from toy_benchmark import Finished

import benchbench
from benchbench.api.finished import open_results
from benchbench.errors import DataError, SpecError, UsageError
from benchbench.registry.registry import discover

SPACING = (1.0, 1.0, 3.0)
METRICS = ("dice", "hd95", "nsd@1")
HEAVY = ("torch", "pandas", "numpy", "monai", "pydantic")


@pytest.fixture
def few_plugins_in_python(few_plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python door finds the plugins of `phantom_runs` alone, as commands do with `few_plugins`."""
    for module in ("loaded", "predictors"):
        monkeypatch.setattr(f"benchbench.api.{module}.discover", functools.partial(discover, PLUGINS))


def lesion(label: int = 1, at: int = 1) -> np.ndarray:
    labels = np.zeros((6, 6, 4), dtype=np.uint8)
    labels[at : at + 2, 1:3, 1:3] = label
    return labels


def test_importing_benchbench_imports_no_large_library() -> None:
    script = f"import sys, benchbench; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_door_is_complete_and_an_unknown_name_is_an_attribute_error() -> None:
    for name in ("load", "results", "score", "predictor"):
        assert callable(getattr(benchbench, name))
        assert name in dir(benchbench)
    with pytest.raises(AttributeError, match="module 'benchbench' has no attribute 'scores_of'"):
        _ = benchbench.scores_of


def test_arrays_have_the_scores_of_their_files(tmp_path: Path) -> None:
    for name, labels in (("reference", lesion()), ("prediction", lesion(at=2))):
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(labels, np.diag([*SPACING, 1])), tmp_path / name / "a.nii.gz")
    out = tmp_path / "out"
    words = [
        "score",
        "reference",
        "prediction",
        "--labels",
        "tumour=1",
        "--metrics",
        ",".join(METRICS),
        "--out",
        out,
    ]
    assert command(*words, cwd=tmp_path).returncode == 0
    rules: dict[str, Any] = {"regions": {"tumour": 1}, "metrics": METRICS}
    arrays = benchbench.score({"a": lesion()}, {"a": lesion(at=2)}, spacing_mm=SPACING, **rules)
    files = benchbench.score(tmp_path / "reference", str(tmp_path / "prediction"), **rules)
    written = pd.read_parquet(out / "cases.parquet")
    pd.testing.assert_frame_equal(arrays.cases, written)
    pd.testing.assert_frame_equal(files.cases, written)
    pd.testing.assert_frame_equal(arrays.summary, files.summary)
    assert arrays.cases.loc[0, "dice"] == 0.5  # 2 * 4 / (8 + 8)
    assert arrays.cases.loc[0, "hd95_mm"] == 1


def test_an_array_can_be_scored_against_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(lesion(), np.diag([*SPACING, 1])), path)
    scores = benchbench.score(path, lesion(at=2), regions={"tumour": [1]}, metrics=["dice"])
    assert list(scores.cases["dice"]) == [0.5]


def test_boolean_masks_need_no_regions_and_distances_without_spacing_are_in_pixels() -> None:
    scores = benchbench.score(lesion() > 0, lesion(at=2) > 0)
    assert list(scores.cases["region"]) == ["mask"]
    assert list(scores.cases["hd95_px"]) == [1]
    assert list(scores.cases["iou"]) == [pytest.approx(4 / 12)]


def test_a_label_value_may_be_a_number_of_numpy() -> None:
    scores = benchbench.score(lesion(), lesion(), regions={"tumour": np.int64(1)}, metrics=["dice"])
    assert scores.cases["dice"].tolist() == [1.0]


def test_ignored_voxels_of_an_array_are_in_no_count() -> None:
    reference = lesion()
    reference[1] = 9  # half of the lesion, and the rest of its plane
    scores = benchbench.score(reference, lesion(at=2), regions={"tumour": 1}, ignore=[9], metrics=["dice"])
    (row,) = scores.cases.to_dict("records")
    assert [row[name] for name in ("tp", "fp", "fn", "tn")] == [4, 4, 0, 6 * 6 * 4 - 24 - 8]
    assert row["dice"] == pytest.approx(8 / 12)


@pytest.mark.parametrize(
    ("labels", "changes", "error", "message"),
    [
        (lesion(), {"regions": None}, UsageError, "regions: none given; assign label values to names, like"),
        (lesion(), {"regions": {}}, UsageError, "regions: found none; assign"),
        (
            lesion(),
            {"regions": {"all": (0, 1)}},
            UsageError,
            "regions: found label 0 in 'all', which is background",
        ),
        (
            lesion(),
            {"regions": {"all": "1"}},
            UsageError,
            "regions: found '1' in 'all', expected a label value or",
        ),
        (
            lesion(),
            {"regions": {"all": [1.5]}},
            UsageError,
            r"regions: found \[1.5\] in 'all', expected a label value",
        ),
        (lesion(2), {}, DataError, "case: prediction: found label 2, expected 0, 1; add it to"),
        (
            lesion()[:5],
            {},
            DataError,
            r"case: found a prediction of shape \(5, 6, 4\), expected \(6, 6, 4\); resample",
        ),
        (lesion() + 0.5, {}, DataError, "case: prediction: found .*0.5.*, expected"),
        (np.zeros(6), {}, DataError, r"case: prediction: found shape \(6,\), expected two or three axes"),
        (
            lesion(),
            {"spacing_mm": (1, 1)},
            UsageError,
            r"spacing_mm: found \(1.0, 1.0\), expected 3 sizes above 0",
        ),
        (lesion(), {"spacing_mm": (1, 1, 0)}, UsageError, "expected 3 sizes above 0"),
        (lesion(), {"spacing_mm": (1, 1, float("inf"))}, UsageError, "expected 3 sizes above 0"),
        (lesion(), {"metrics": ["dcie"]}, UsageError, "did you mean 'dice'"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_its_reason(
    labels: np.ndarray, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        benchbench.score(lesion(), labels, **{"regions": {"tumour": 1}, **changes})


def test_a_case_without_a_prediction_is_refused_by_name_or_scored_as_the_worst() -> None:
    references = {"a": lesion(), "b": lesion()}
    with pytest.raises(DataError, match="b: no prediction in the predictions"):
        benchbench.score(references, {"a": lesion()}, regions={"tumour": 1})
    scores = benchbench.score(
        references, {"a": lesion()}, regions={"tumour": 1}, metrics=["dice"], missing="worst"
    )
    assert list(scores.cases["dice"]) == [1, 0]
    assert scores.missing == ("b",)


@pytest.mark.usefixtures("card_only", "few_plugins_in_python")
def test_a_benchmark_is_planned_and_run_and_its_results_are_tables(
    benchmark_file: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = benchbench.load(benchmark_file, changes={"protocol.epochs": 1}, data_root=squares)
    results = tmp_path / "results"
    assert repr(benchmark) == "<Benchmark 'squares': Squares, 2 runs>"
    assert list(benchmark.plan(results=results)["state"]) == ["to do", "to do"]
    assert list(benchmark.plan(only="fold=1", results=results)["fold"]) == [1]
    done = benchmark.run(only="fold=1", results=results, cache=tmp_path / "cache", device="cpu", jobs=0)
    assert "1 run to do, 0 already done" in capsys.readouterr().out
    assert list(benchmark.plan(results=results)["state"]) == ["to do", "done"]
    assert repr(done) == f"<BenchmarkResults {str(results / 'squares')!r}: 1 of 2 runs done>"
    assert list(done.folds["status"]) == ["not run", "done"]
    assert list(done.folds["epochs"].dropna()) == [1]
    recorder = Recorder()
    benchmark.run(results=results, cache=tmp_path / "cache", device="cpu", jobs=0, observer=recorder)
    assert (recorder.todo, recorder.done) == (1, 1)


@pytest.mark.usefixtures("few_plugins_in_python")
def test_changes_are_checked_like_those_of_the_command_line(benchmark_file: Path) -> None:
    values = {"protocol.optimizer": {"name": "sgd", "lr": 0.1}, "protocol.augment": [], "title": 'a "b"\n'}
    benchmark = benchbench.load(benchmark_file, changes=values)
    assert benchmark.title == 'a "b"\n'
    with pytest.raises(SpecError, match="epchs"):
        benchbench.load(benchmark_file, changes={"protocol.epchs": 2})


def test_no_name_of_the_door_is_that_of_a_module_as_well() -> None:
    modules = {module.name for module in pkgutil.iter_modules(benchbench.__path__)}
    assert not modules & set(benchbench.__all__)
    importlib.import_module("benchbench.records.folder")
    assert benchbench.results is open_results  # also after its modules are imported


def test_tables_are_those_of_the_written_files(finished_pair: Finished) -> None:
    results = benchbench.results(finished_pair.results)
    assert results.path == finished_pair.folder.path
    for name, table in (("folds", results.folds), ("leaderboard", results.leaderboard)):
        written = pd.read_csv(results.path / f"{name}.csv")
        common = [column for column in table if column in written and table[column].dtype == float]
        assert "dice" in common
        written = written[written["model"].isin(set(table["model"]))].reset_index(drop=True)
        pd.testing.assert_frame_equal(table[common].reset_index(drop=True), written[common], atol=1e-6)
    counts = results.cases
    expected = 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])
    assert list(counts["dice"]) == pytest.approx(list(expected))


def test_a_comparison_is_a_table_with_the_verdict_of_the_command(finished_pair: Finished) -> None:
    table = benchbench.results(finished_pair.results).compare("plain", "plain_too")
    done = command("compare", "plain", "plain_too", "--results", finished_pair.folder.path, cwd=finished_pair.root)
    assert table.attrs["verdicts"][0] in done.stdout.splitlines()
    row = table.iloc[0]
    assert (row["first"], row["second"], row["metric"]) == ("plain", "plain_too", "dice")
    assert f"{row['difference']:+.4f}" in done.stdout
    assert f"{row['wins']}/{row['ties']}/{row['losses']}" in done.stdout
    means = benchbench.results(finished_pair.results).leaderboard.set_index("model")["dice"]
    assert row["difference"] == pytest.approx(means["plain"] - means["plain_too"])
    with pytest.raises(UsageError, match="no such model here; did you mean 'plain'"):
        benchbench.results(finished_pair.results).compare("plian", "plain_too")


def test_a_folder_without_results_and_one_with_several_are_refused(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no benchmark.json here or in its folders; give the results folder"):
        benchbench.results(tmp_path)
    copy = finished.copy(tmp_path / "copy")
    (copy.results / "squares").rename(copy.results / "first")
    finished.copy(tmp_path / "copy")
    with pytest.raises(UsageError, match=r"found the results of 2 benchmarks; give one of .*first, .*squares"):
        benchbench.results(copy.results)


def test_a_notebook_shows_the_leaderboard_and_the_page(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = benchbench.results(finished.results)
    text = results._repr_html_()
    assert "<h3>Squares</h3><p>2 of 2 runs done</p>" in text
    assert "<td>plain</td>" in text
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    results.show()
    assert str(results.path / "index.html") in capsys.readouterr().out
    displayed: list[str] = []
    shell, display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(shell)["get_ipython"] = object
    vars(display).update(HTML=str, display=displayed.append)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    results.show(height=300)
    (frame,) = displayed
    assert frame.startswith('<iframe srcdoc="&lt;!')
    assert frame.endswith('" width="100%" height="300"></iframe>')


@pytest.mark.usefixtures("few_plugins_in_python")
def test_a_predictor_returns_the_labels_that_predict_writes(slices_run: PhantomRun, tmp_path: Path) -> None:
    (image,) = sorted(slices_run.images.glob("**/TCGA*_1.tif"))[:1]
    folder = slices_run.folder.path
    done = command("predict", folder, image, "--into", "labels", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    import tifffile

    (written,) = (tmp_path / "labels").iterdir()
    expected = tifffile.imread(written)
    row = benchbench.predictor(folder, device="cpu")
    assert row.channels == ("pre_contrast", "flair", "post_contrast")
    assert np.array_equal(row(image), expected)
    pixels = np.moveaxis(tifffile.imread(image), -1, 0)
    assert np.array_equal(row(pixels), expected)
    prediction = row.predict(pixels)
    (region,) = row.regions
    assert prediction.probabilities[region].shape == expected.shape
    assert np.array_equal(prediction.probabilities[region] > 0.5, expected > 0)


@pytest.mark.usefixtures("few_plugins_in_python")
def test_an_image_that_does_not_fit_is_refused(slices_run: PhantomRun, volumes_run: PhantomRun) -> None:
    row = benchbench.predictor(slices_run.folder.path, device="cpu")
    with pytest.raises(DataError, match="image: found 2 channels, expected pre_contrast, flair, post_contrast"):
        row(np.zeros((2, 40, 40), np.uint8))
    with pytest.raises(DataError, match="nan or infinite"):
        row(np.full((3, 40, 40), np.nan))
    with pytest.raises(UsageError, match="spacing_mm and affine: found a file"):
        row("image.tif", spacing_mm=(1, 1))
    volumes = benchbench.predictor(volumes_run.folder.path, device="cpu")
    with pytest.raises(DataError, match=r"image: found an image of shape \(40, 40\), expected a volume"):
        volumes(np.zeros((4, 40, 40), np.float32))
