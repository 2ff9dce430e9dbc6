"""A third-party distribution, and a benchmark of it to run in a test or already run for the whole session."""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from toy_benchmark import PAIR, Finished, run_once, run_pair_once, write_benchmark, write_data

if TYPE_CHECKING:
    from phantom_runs import PhantomRun

NUMBERS = itertools.count()
THIRD_PARTY = Path(__file__).parent / "third_party"
REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def toy_distribution() -> Path:
    """The plugin's folder, on the path of this process and of those it starts."""
    sys.path.insert(0, str(THIRD_PARTY))
    paths = [str(THIRD_PARTY), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths).rstrip(os.pathsep)
    return THIRD_PARTY


@pytest.fixture(scope="session", autouse=True)
def without_fsync() -> Iterator[None]:
    """Files that need not survive a power cut: a benchmark syncs 200, and a disk takes milliseconds for each.

    Tests of what is synced count the calls, of which this is the last one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """Throughput of a network by two passes, and not by those of a tenth of a second: every run measures it."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:  # which a few tests alone need not import
            patch.setattr("benchbench.engine.cost.timing.LEAST_SECONDS", {"cpu": 1e-3, "cuda": 1e-3})
        yield


@pytest.fixture
def benchmark_file(tmp_path: Path) -> Path:
    """A benchmark of the third-party plugin, small enough for a test."""
    return write_benchmark(tmp_path)


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A data root with four patients."""
    return write_data(tmp_path)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which have tests of their own: seconds that other tests of reports need not pay."""
    monkeypatch.setattr("benchbench.report.draw_figures", lambda *_, **__: [])


@pytest.fixture
def without_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without boards, whose resamplings take most of the time of a small page."""
    monkeypatch.setattr("benchbench.report.boards", lambda _: [])


@pytest.fixture
def card_only(without_figures: None, without_statistics: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty pages: a command that runs a benchmark reads the summary of its page alone."""
    monkeypatch.setattr("benchbench.report.benchmark_page", lambda *_, **__: "")


@pytest.fixture
def svg_only() -> Iterator[None]:
    """Figures whose PDF and PNG are empty."""
    from drawing import only_svg  # imports matplotlib

    with only_svg():
        yield


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks that leave tables, but neither statistics nor a page: half of the time of a small benchmark."""
    monkeypatch.setattr("benchbench.launch.orchestrate.write_page", lambda *_, **__: None)
    monkeypatch.setattr("benchbench.launch.orchestrate.write_index", lambda *_: None)


@pytest.fixture
def without_report(without_page: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks that leave the records and files of their runs alone: nine tenths of the time."""
    monkeypatch.setattr("benchbench.launch.orchestrate.write_tables", lambda *_: None)


Install = Callable[..., PathDistribution]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one module, always under a new name, and an entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(distribution: str, source: str, *, entry_point: str | None = None) -> PathDistribution:
        module = f"made_up_{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[benchbench]\n{entry_point or distribution} = {module}\n")
        importlib.invalidate_caches()
        return PathDistribution(info)

    return write


BuildOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> BuildOnce:
    """A function that fills a folder the first time that any worker of the session asks for its name."""
    base = tmp_path_factory.getbasetemp()
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def build(name: str, fill: Callable[[Path], None]) -> Path:
        folder, complete = session / f"shared-{name}", session / f"shared-{name}.complete"
        with FileLock(session / f"shared-{name}.lock"):
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                complete.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def finished(build_once: BuildOnce) -> Finished:
    """The benchmark of `benchmark_file` on the data of `squares`, run once for the whole session, figures included."""

    return Finished(build_once("finished", run_once))


@pytest.fixture
def pair_file(tmp_path: Path) -> Path:
    """A benchmark of two models and their ensemble."""
    return write_benchmark(tmp_path, PAIR)


@pytest.fixture(scope="session")
def finished_pair(build_once: BuildOnce) -> Finished:
    """The benchmark of `pair_file` on the data of `squares` with the settings `SHORT`, run once for the session."""
    return Finished(build_once("pair", run_pair_once))


@pytest.fixture(scope="session")
def slices_run(build_once: BuildOnce) -> PhantomRun:
    """A finished run of a 2D network on LGG phantoms, trained once for the whole session."""
    from phantom_runs import SLICES, PhantomRun, train  # imports torch

    return PhantomRun(build_once("slices", lambda root: train(root, SLICES)), "lgg")


@pytest.fixture(scope="session")
def volumes_run(build_once: BuildOnce) -> PhantomRun:
    """A finished run of a 3D network on BraTS phantoms, trained once for the whole session."""
    from phantom_runs import VOLUMES, PhantomRun, train  # imports torch

    return PhantomRun(build_once("volumes", lambda root: train(root, VOLUMES)), "brats21")


@pytest.fixture
def few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that discover the plugins of `phantom_runs` alone: others take seconds to import."""
    from phantom_runs import PLUGINS

    from benchbench.registry import registry

    monkeypatch.setattr(registry, "discover", functools.partial(registry.discover, PLUGINS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of real patients, and say so, where there are none."""
    if item.get_closest_marker("real") and not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")


def pytest_collection_finish() -> None:
    """Leave what the test modules imported out of garbage collections, each of which would visit a million objects."""
    gc.collect()
    gc.freeze()
