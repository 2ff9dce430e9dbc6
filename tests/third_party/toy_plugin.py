"""A dataset of bright squares and tiny models, in the place and form in which pip installs a distribution."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchbench import (
    Case,
    CaseRef,
    DataError,
    DataNotFoundError,
    DatasetPlugin,
    Download,
    Geometry,
    ModelPlugin,
    Task,
    hookimpl,
)


@dataclass(frozen=True)
class Squares:
    root: Path
    channel: str = field(default="grey", kw_only=True)
    regions: tuple[int, ...] = field(default=(1,), kw_only=True)
    ignore: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def task(self) -> Task:
        regions = {f"square_{number}": (value,) for number, value in enumerate(self.regions)}
        return Task(channels=(self.channel,), regions=regions, ignore=self.ignore)

    def cases(self) -> list[CaseRef]:
        names = sorted(path.stem for path in self.root.glob("*.npz"))
        if not names:
            raise DataNotFoundError(f"squares: no *.npz in {self.root}")
        return [CaseRef(name, name.split("-")[0]) for name in names]

    def files(self, case_id: str) -> list[Path]:
        return [self.root / f"{case_id}.npz"]

    def load(self, case_id: str) -> Case:
        with (self.root / f"{case_id}.npz").open("rb") as file, np.load(file) as stored:
            image, label = stored["image"], stored["label"]
        if label.max() > 1 and not self.ignore:
            raise DataError(f"squares: {case_id}: found {label.max()}, expected 0 and 1; draw the mask again")
        return Case(image=image, label=label, affine=None, spacing_mm=None)

    def metadata(self) -> dict[str, dict[str, str]]:
        return {}


def write_squares(root: Path, *, patients: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for patient in range(patients):
        image = rng.integers(0, 90, (1, 3, size, size)).astype(np.uint8)
        label = np.zeros((3, size, size), np.uint8)
        row, column = rng.integers(2, size - 14, 2)
        label[1:, row : row + 12, column : column + 12] = 1
        image[0][label > 0] += 60
        np.savez(root / f"patient{patient:02}-a.npz", image=image, label=label)


class Plain(nn.Sequential):
    """Two convolutions, and a fault of your choice in training."""

    explode = ""

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            time.sleep(float(os.environ.get("TOY_SECONDS_PER_STEP", "0")))
            self._misbehave()
        return super().forward(image)

    def _misbehave(self) -> None:
        fault = self.explode
        if os.environ.get("RANK") == "1":
            fault = fault.removeprefix("second ")
        if fault == "raise":
            raise RuntimeError("the model fell over")
        if fault == "exit":
            os._exit(3)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "print":
            print("a plugin prints")  # noqa: T201 that is the fault
        if fault == "nan":
            with torch.no_grad():
                next(self.parameters()).fill_(torch.nan)


def build_plain(
    geometry: Geometry, *, width: int = 4, explode: str = "", dropout: float = 0.0, norm: bool = True
) -> nn.Module:
    if explode == "build exits":
        os._exit(3)
    model = Plain(
        nn.Conv2d(geometry.in_channels, width, 3, padding=1),
        nn.BatchNorm2d(width) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(width, geometry.out_channels, 3, padding=1),
    )
    model.explode = explode
    return model


def build_wrong(geometry: Geometry) -> nn.Module:
    """A convolution with one output channel too many."""
    return nn.Conv2d(geometry.in_channels, geometry.out_channels + 1, 1)


@hookimpl
def benchbench_datasets() -> list[DatasetPlugin]:
    download = Download(licence="CC0", page="https://example.org/squares")
    return [DatasetPlugin(name="squares", open=Squares, source="none", download=download, phantom=write_squares)]


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    return [
        ModelPlugin(name="plain", build=build_plain, source="none", ndims=frozenset({2})),
        ModelPlugin(name="plain_too", build=build_plain, source="none", ndims=frozenset({2})),
        ModelPlugin(name="wrong", build=build_wrong, source="none", ndims=frozenset({2})),
        ModelPlugin(name="solid", build=build_wrong, source="none", ndims=frozenset({3})),
    ]
