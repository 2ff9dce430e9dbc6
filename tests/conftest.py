"""A third-party distribution with one dataset and some models, installed for the tests as pip would."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TOY_PLUGIN = '''
"""A dataset of bright squares and tiny models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin, Download, ModelPlugin, Task, hookimpl


@dataclass(frozen=True)
class Squares:
    root: Path
    channel: str = field(default="grey", kw_only=True)
    regions: tuple[int, ...] = field(default=(1,), kw_only=True)

    @property
    def task(self):
        regions = {f"square_{number}": (value,) for number, value in enumerate(self.regions)}
        return Task(channels=(self.channel,), regions=regions)

    def cases(self):
        found = sorted(path.stem for path in self.root.glob("*.npz"))
        if not found:
            raise DataNotFoundError(f"squares: no *.npz in {self.root}")
        return [CaseRef(name, name.split("-")[0]) for name in found]

    def files(self, case_id):
        return [self.root / f"{case_id}.npz"]

    def load(self, case_id):
        with (self.root / f"{case_id}.npz").open("rb") as file, np.load(file) as stored:
            image, label = stored["image"], stored["label"]
        if label.max() > 1:
            raise DataError(f"squares: {case_id}: found {label.max()}, expected 0 and 1; make the mask anew")
        return Case(image=image, label=label, affine=None, spacing_mm=None)

    def metadata(self):
        return {}


def write_squares(root, *, patients, size, seed):
    rng = np.random.default_rng(seed)
    for patient in range(patients):
        image = rng.integers(0, 90, (1, 3, size, size)).astype(np.uint8)
        label = np.zeros((3, size, size), np.uint8)
        row, column = rng.integers(2, size - 14, 2)
        label[1:, row : row + 12, column : column + 12] = 1
        image[0][label > 0] += 60
        np.savez(root / f"patient{patient:02}-a.npz", image=image, label=label)


def build_plain(geometry, *, width: int = 4, explode: str = "", dropout: float = 0.0, norm: bool = True):
    import torch
    from torch import nn

    class Plain(nn.Sequential):
        def forward(self, image):
            act(explode, self, torch)
            return super().forward(image)

    return Plain(
        nn.Conv2d(geometry.in_channels, width, 3, padding=1),
        nn.BatchNorm2d(width) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(width, geometry.out_channels, 3, padding=1),
    )


def act(explode, model, torch):
    """Misbehaves in training, as asked."""
    import os, signal, sys
    if not model.training:
        return
    if explode.startswith("second ") and os.environ.get("RANK") == "1":
        explode = explode.removeprefix("second ")
    if explode == "raise":
        raise RuntimeError("the model fell over")
    if explode == "exit":
        os._exit(3)
    if explode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if explode == "print":
        print("a plugin prints")
    if explode == "nan":
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)


def build_wrong(geometry):
    from torch import nn
    return nn.Conv2d(geometry.in_channels, geometry.out_channels + 1, 1)


@hookimpl
def benchbench_datasets():
    download = Download(licence="CC0", page="https://example.org/squares")
    return [DatasetPlugin(name="squares", open=Squares, source="none", download=download, phantom=write_squares)]


@hookimpl
def benchbench_models():
    return [
        ModelPlugin(name="plain", build=build_plain, source="none", ndims=frozenset({2})),
        ModelPlugin(name="plain_too", build=build_plain, source="none", ndims=frozenset({2})),
        ModelPlugin(name="wrong", build=build_wrong, source="none", ndims=frozenset({2})),
        ModelPlugin(name="solid", build=build_wrong, source="none", ndims=frozenset({3})),
    ]
'''

BENCHMARK = """
title = "Squares"
datasets = [{ name = "squares" }]

[[models]]
name = "plain"

[protocol]
patch = [32, 32]
folds = 2
epochs = 2
batch = 4
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"
augment = [{ name = "flip" }]

[[tables]]
rows = "fold"
columns = "model"
value = "dice"

[rehearse]
data = { patients = 4, size = 32 }
"""


@pytest.fixture(scope="session", autouse=True)
def toy_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's folder, on the path of this process and of those it starts."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toy_plugin.py").write_text(TOY_PLUGIN)
    info = folder / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[benchbench]\ntoy = toy_plugin\n")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return folder


@pytest.fixture
def benchmark_file(tmp_path: Path) -> Path:
    """A benchmark of the third-party plugin, small enough for a test."""
    path = tmp_path / "squares.toml"
    path.write_text(BENCHMARK)
    return path


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A data root with four patients."""
    from toy_plugin import write_squares

    folder = tmp_path / "data" / "squares"
    folder.mkdir(parents=True)
    write_squares(folder, patients=4, size=32, seed=0)
    return folder.parent


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which have tests of their own: seconds that other tests of reports need not pay."""
    monkeypatch.setattr("benchbench.report.draw_figures", lambda *_, **__: [])
