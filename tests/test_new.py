"""`benchbench new` writes packages that work as they are, and the snippets of CONTRIBUTING.md do too."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import benchbench

from benchbench import DataError, DataNotFoundError, Geometry
from benchbench.data.phantom import phantom_root
from benchbench.errors import UsageError
from benchbench.images.pairing import pair_files
from benchbench.registry.registry import Registry, load
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.testing import examine_dataset, examine_model

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The plugins of a package, found by its own pyproject.toml as an installer would."""
    monkeypatch.syspath_prepend(folder)
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["benchbench"]
    return load([EntryPoint(name, value, "benchbench") for name, value in points.items()])


@pytest.mark.parametrize("kind", ["dataset", pytest.param("model", marks=pytest.mark.slow)])
def test_a_new_package_follows_the_rules_of_its_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = benchbench("new", kind, f"new_{kind}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    registry = installed(tmp_path / f"new_{kind}", monkeypatch)
    assert registry.broken == ()
    if kind == "dataset":
        report = examine_dataset(registry.dataset("new_dataset"))
    else:
        report = examine_model(registry.model("new_model"), {"width": 4})
    assert [*report.lines()] == []
    assert "passed" in {outcome.state for outcome in report.outcomes}


def test_a_new_model_gives_logits_of_the_size_of_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    benchbench("new", "model", "fresh_net", cwd=tmp_path)
    plugin = installed(tmp_path / "fresh_net", monkeypatch).model("fresh_net")
    assert plugin.build(Geometry(2, 3, (32, 32)), width=4)(torch.zeros(1, 2, 32, 32)).shape == (1, 3, 32, 32)


def test_a_new_package_has_a_test_that_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchbench("new", "dataset", "tested", cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "tested")
    module = types.ModuleType("test_tested")
    exec((tmp_path / "tested/tests/test_tested.py").read_text(), vars(module))  # noqa: S102
    module.test_the_dataset_follows_the_rules()


def test_a_new_benchmark_passes_the_check_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchbench("new", "benchmark", "eyes", cwd=tmp_path)
    text = (tmp_path / "eyes.toml").read_text()
    (tmp_path / "eyes.toml").write_text(text.replace(', { name = "unext" }', ""))  # which takes seconds to import
    monkeypatch.setattr("benchbench.registry.registry.discover", discover_few())
    done = benchbench("check", "eyes.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "eyes.toml: ok, 5 runs\n", "")


def discover_few() -> object:
    from functools import partial

    from benchbench.registry import registry

    return partial(registry.discover, ["folders", "unet"])


def test_a_check_of_a_benchmark_file_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text('title = "Eyes"\n')
    done = benchbench("check", "eyes.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "eyes.toml: datasets" in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Eyes", "expected lower-case letters, digits and _"),
        ("2d", "expected lower-case letters, digits and _"),
        ("class", "expected lower-case letters, digits and _"),
        ("con", "expected lower-case letters, digits and _"),
        ("numpy", "a Python package of this name is installed"),
        ("there", "there: exists already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = benchbench("new", "dataset", name, cwd=tmp_path)
    assert (done.returncode, reason in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_new_package_can_be_installed_and_checked(kind: str, tmp_path: Path) -> None:
    benchbench("new", kind, "shapes", cwd=tmp_path)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/*/site-packages")
    # the packages of this environment, as if they were installed in the new one
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for package in site.glob("setuptools*"):  # an old one, which would hide that of this environment
        shutil.rmtree(package)
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", "shapes"]
    subprocess.run([python, *install], cwd=tmp_path, check=True)
    done = subprocess.run(
        [python, "-m", "benchbench", "check", "shapes"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), flags=re.DOTALL)


def test_every_snippet_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, model_test, dataset, dataset_test = snippets()
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "linear_net.py").write_text(model)
    (package / "eyes.py").write_text(dataset)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_package", "my_package.linear_net", "my_package.eyes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    tests = types.ModuleType("tests_of_the_guide")
    sys.modules["my_package"] = importlib.import_module("my_package")
    exec(model_test + dataset_test, vars(tests))  # noqa: S102
    tests.test_linear_net_follows_the_rules_of_a_model()
    folder = tmp_path / "eyes"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        image = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        mask[5:20, 5:20] = 255
        cv2.imwrite(str(folder / "images" / f"p{number}_a.png"), image)
        cv2.imwrite(str(folder / "masks" / f"p{number}_a.png"), mask)
    tests.test_eyes_follow_the_rules_of_a_dataset(folder)
    plugin = tests.benchbench_datasets()[0]
    states = {outcome.rule: outcome.state for outcome in examine_dataset(plugin, folder).outcomes}
    assert (states["phantom"], states["repeats"], states["opens"]) == ("skipped", "skipped", "passed")
    with pytest.raises(UsageError, match="eyes: its plugin has no phantom, so it cannot be rehearsed"):
        phantom_root(plugin, PhantomSize(), cache=tmp_path / "cache")


def test_the_guide_names_readers_that_exist() -> None:
    named = re.findall(r"`(benchbench\.images\.\w+)\.(\w+)`", CONTRIBUTING.read_text())
    assert len(named) > 4
    for module, function in named:
        assert callable(getattr(importlib.import_module(module), function))


def test_files_are_paired_by_name_and_a_single_one_is_refused(tmp_path: Path) -> None:
    for name in ("images/b.png", "images/a.png", "masks/a.png", "masks/b.png"):
        path = tmp_path / "eyes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    root = tmp_path / "eyes"
    pairs = pair_files(root, images="images/*.png", labels="masks/*.png")
    assert {name: (pair.image.name, pair.label.name) for name, pair in pairs.items()} == {
        "a": ("a.png", "a.png"),
        "b": ("b.png", "b.png"),
    }
    (root / "masks/b.png").rename(root / "masks/c.png")
    with pytest.raises(DataError) as error:
        pair_files(root, images="images/*.png", labels="masks/*.png")
    assert error.value.problems == (
        "eyes: found no label for images/b.png; add it or move the file away",
        "eyes: found no image for masks/c.png; add it or move the file away",
    )
    (root / "images/a.tif").touch()
    with pytest.raises(DataError, match=r"a\.tif: found a\.png of the same name|a\.png: found a\.tif"):
        pair_files(root, images="images/*", labels="masks/*")
    with pytest.raises(DataNotFoundError, match=r"found no \*\.nii"):
        pair_files(root, images="*.nii", labels="masks/*")
