"""Extras: what needs one is refused in one line before anything is prepared, and all else works without it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from carry import carry
from commands import benchbench
from toy_benchmark import BENCHMARK, write_benchmark, write_data

from benchbench.contract import Download
from benchbench.data.fetch import Fetcher
from benchbench.errors import UsageError
from benchbench.extras import EXTRAS, absent_modules, has_extra, require_extra
from benchbench.registry.registry import discover

ROOT = Path(__file__).parents[1]
Hide = Callable[[str], None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """A function that lets the modules of an extra seem not to be installed: an import of them fails."""

    def hide_extra(name: str) -> None:
        for module in EXTRAS[name].modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide_extra


def test_the_extras_are_those_of_the_project_and_all_has_them_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"]
    assert set(EXTRAS) == set(groups) - {"all", "docs", "test"}
    of_all = {name for line in groups["all"] for name in re.findall(r"[\w-]+", line.partition("[")[2])}
    assert of_all == set(EXTRAS)
    core = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]
    in_extras = {re.match(r"[\w-]+", line)[0] for name in EXTRAS for line in groups[name]}  # type: ignore[index]
    assert not core & in_extras
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in EXTRAS if f"| `{name}` |" not in text] == []


def test_a_module_that_is_hidden_is_absent(hide: Hide) -> None:
    hide("smp")
    assert absent_modules(EXTRAS["smp"].modules) == ["segmentation_models_pytorch", "timm"]
    assert not has_extra("smp")
    with pytest.raises(UsageError) as caught:
        require_extra("smp", "the row")
    assert str(caught.value) == (
        "the row needs segmentation_models_pytorch, timm, which are not installed; pip install 'benchbench[smp]'"
    )


def test_models_of_a_missing_library_are_listed_with_what_to_install(hide: Hide, tmp_path: Path) -> None:
    hide("smp")
    hide("monai")
    done = benchbench("list", cwd=tmp_path)
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("unavailable: ")]
    unavailable = {line.split()[1]: line.partition("needs: ")[2] for line in lines}
    assert unavailable["smp_unet"] == "pip install 'benchbench[smp]'"
    assert unavailable["unetr"] == unavailable["monai_dynunet"] == "pip install 'benchbench[monai]'"
    assert "unet" in discover().models


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_model_of_a_missing_library_is_refused_in_one_line(hide: Hide, tmp_path: Path, command: str) -> None:
    hide("smp")
    file = write_benchmark(tmp_path, BENCHMARK.replace('"plain"', '"smp_unet"').replace("squares", "lgg"))
    words = ("run", file, "--rehearse") if command == "run" else ("check", "smp_unet")
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line]
    expected = "needs segmentation_models_pytorch, timm, which are not installed; pip install 'benchbench[smp]'"
    assert f"model 'smp_unet' cannot be used: {expected}" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("extra", "setting", "user"),
    [
        ("scikit-image", 'denoise = "tv"', "protocol.denoise"),
        ("scikit-image", 'resize = "spacing"\nspacing = [1.0, 1.0]', "protocol.spacing"),
        (
            "albumentations",
            'augment = [{ albumentations = "ElasticTransform" }]',
            "protocol.augment: albumentations",
        ),
        ("tune", "", "[tune]"),
    ],
)
@pytest.mark.usefixtures("few_plugins")
def test_a_setting_of_a_missing_library_is_refused_before_anything_is_prepared(
    hide: Hide, tmp_path: Path, extra: str, setting: str, user: str
) -> None:
    hide(extra)
    text = BENCHMARK.replace('augment = [{ name = "flip" }]', setting)
    if extra == "tune":
        text += '[tune]\ntrials = 2\n[tune.space]\n"protocol.optimizer.lr" = { low = 1e-4, high = 1e-1 }\n'
    file = write_benchmark(tmp_path, text)
    done = benchbench("run", file, "--data-root", write_data(tmp_path), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (module,) = EXTRAS[extra].modules
    expected = f"{user} needs {module}, which is not installed; pip install 'benchbench[{extra}]'"
    assert expected in " ".join(done.stderr.split())
    assert not list((tmp_path / "results").glob("**/run.json"))


def test_runs_without_tensorboard_have_no_event_files_and_say_so(
    hide: Hide, tmp_path: Path, without_report: None
) -> None:
    hide("tensorboard")
    file = write_benchmark(tmp_path, BENCHMARK.replace("epochs = 2", "epochs = 1"))
    folder, records, recorder = carry(file, write_data(tmp_path), tmp_path, only=["fold=0"])
    assert [record and record.status for record in records] == ["done"]
    expected = "no event files are written; for TensorBoard, pip install 'benchbench[tensorboard]'"
    assert expected in recorder.remarks
    assert len(list(folder.path.glob("runs/**/history.csv"))) == 1
    assert not list(folder.path.glob("runs/**/events.out*"))


def test_a_download_from_kaggle_names_the_extra_before_a_folder_is_made(hide: Hide, tmp_path: Path) -> None:
    hide("kaggle")
    download = Download(page="https://kaggle.com", licence="CC0", kaggle="someone/something")
    fetcher = Fetcher(folder=tmp_path / "lgg", sleep=lambda _: None, say=print, progressbar=False)
    with pytest.raises(UsageError, match=r"lgg: the download from Kaggle needs kagglehub, .*benchbench\[kaggle\]"):
        fetcher.fetch(download)
    assert not (tmp_path / "lgg").exists()
