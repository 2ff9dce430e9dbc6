"""The networks that gpu.py measures, and cases of random numbers for them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchbench.contract import Case, CaseRef, Task
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol

AUGMENTATION: dict[int, list[dict[str, Any]]] = {
    2: [{"name": "flip", "p": 0.5}, {"name": "rotate", "degrees": 15, "p": 0.5}],
    3: [
        {"name": "flip", "p": 0.5},
        {"name": "noise", "sigma": [0.0, 0.33], "p": 0.15},
        {"name": "multiplicative_brightness", "range": [0.7, 1.3], "p": 0.15},
    ],
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """A network and the images that it is trained with."""

    name: str
    model: str
    patch: tuple[int, ...]
    channels: int
    regions: int
    batch: int
    steps: int
    """Steps of an epoch."""
    params: dict[str, Any] = field(default_factory=dict)

    def protocol(self, precision: str = "bf16", *, epochs: int = 3) -> Protocol:
        """Return the protocol of the training; only the last epoch is validated."""
        ndim = len(self.patch)
        settings = {
            "ndim": ndim,
            "patch": self.patch,
            "epochs": epochs,
            "validate_every": epochs,
            "batch": self.batch,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "loss": "bce+dice",
            "augment": AUGMENTATION[ndim],
            "precision": precision,
        }
        return Protocol.model_validate_json(json.dumps(settings))


NNUNET = {
    "norm": "instance",
    "activation": "leaky_relu",
    "down": "stride",
    "init": "kaiming",
    "widths": (32, 64, 128, 256, 320, 320),
}
WORKS = (
    Work(name="U-Net, 31 M", model="unet", patch=(256, 256), channels=3, regions=1, batch=8, steps=60),
    Work(name="UNeXt", model="unext", patch=(256, 256), channels=3, regions=1, batch=8, steps=200),
    Work(
        name="3D U-Net",
        model="unet",
        patch=(128, 128, 128),
        channels=5,
        regions=3,
        batch=2,
        steps=20,
        params=NNUNET,
    ),
    Work(
        name="Mask DINO",
        model="mask_dino",
        patch=(256, 256),
        channels=3,
        regions=1,
        batch=8,
        steps=20,
        params={"backbone": "resnet50"},
    ),
)
TINY = (
    Work(name="U-Net", model="unet", patch=(32, 32), channels=3, regions=1, batch=2, steps=2, params={"width": 4}),
    Work(
        name="3D U-Net",
        model="unet",
        patch=(16, 16, 16),
        channels=2,
        regions=2,
        batch=1,
        steps=2,
        params={**NNUNET, "widths": (4, 8)},
    ),
)


def make_case(folder: Path, work: Work, protocol: Protocol, *, slices: int) -> PreparedCase:
    """Prepare a case of random numbers: slices, or a volume a little larger than the patch."""
    rng = np.random.default_rng(0)
    space: tuple[int, ...] = (*work.patch, slices)  # slices are along the last axis of a case without affine
    image = rng.integers(0, 255, (work.channels, *space), dtype=np.uint8)
    if len(work.patch) == 3:
        space = tuple(size + 8 for size in work.patch)
        image = rng.standard_normal((work.channels, *space), dtype=np.float32).astype(np.float16)
    label = rng.integers(0, work.regions + 1, space, dtype=np.uint8)
    task = Task(
        channels=tuple(f"c{number}" for number in range(work.channels)),
        regions={f"r{number}": (number,) for number in range(1, work.regions + 1)},
    )
    case = Case(image=image, label=label, affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0))
    write_prepared(case, task, protocol, folder)
    return PreparedCase(CaseRef(folder.name, folder.name), folder)
