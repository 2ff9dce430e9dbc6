"""Times the preparation of a BraTS case against nnU-Net's preprocessor and MONAI's transforms, on one thread.

    python benchmarks/speed/prepare_3d.py

A phantom patient of 240 x 240 x 155 voxels is on the disk as four .nii.gz images of int16 and one label map.
Each contender reads them, crops them to the box of voxels that are not 0, standardises each modality over its
voxels that are not 0, and appends a foreground channel, in memory. benchbench also checks the files to their
end, their geometry and their labels; in its second row it writes its cache to the disk too, digest included.

The second table times the copy of a random patch of 128 x 128 x 128 voxels and five channels to float32, from the
cache and from an array in memory. Contenders take turns; the first round is not counted. Libraries that are not
installed are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from race import race, report

from benchbench import Task
from benchbench.contract import Dataset
from benchbench.data.case_checks import load_case
from benchbench.engine.batches.patches import Patches
from benchbench.engine.preparation.prepare import prepare_arrays, write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.registry.registry import discover
from benchbench.spec.protocol import Protocol

SIDE = 128
Contender = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    plugin = discover(["brats21"]).dataset("brats21")
    with tempfile.TemporaryDirectory() as folder:
        plugin.phantom(Path(folder), patients=1, size=240, seed=0)
        dataset = plugin.open(Path(folder))
        files = dataset.files(dataset.cases()[0].id)
        contenders = {
            "benchbench": ours(dataset),
            "benchbench, to its cache": ours_cached(dataset, Path(folder) / "cache"),
        }
        paths = [str(file) for file in files]
        for name, build in {"nnU-Net": peer_nnunet, "MONAI": peer_monai}.items():
            try:
                contenders[name] = build(paths)
            except ImportError as error:
                print(f"{name} is left out: {error}")
        print(f"preparing 4 x 240 x 240 x 155 from .nii.gz, {options.rounds} rounds, 1 thread")
        report(race(contenders, rounds=options.rounds, check=unchecked), units=1, unit="case")
        print(f"\na patch of 5 x {SIDE}^3 in float32, {10 * options.rounds} rounds, 1 thread")
        copies = patches(dataset, Path(folder) / "patches")
        report(race(copies, rounds=10 * options.rounds, check=unchecked), units=1, unit="patch")


def unchecked(name: str, result: object) -> None:
    """Accept any result: the libraries differ in layout, crop and rounding, and the tests check ours."""


def settings() -> Protocol:
    return Protocol.model_validate(
        {
            "ndim": 3,
            "patch": (SIDE, SIDE, SIDE),
            "crop": "nonzero",
            "intensity": "zscore_nonzero",
            "one_hot_foreground": True,
            "epochs": 1,
            "batch": 1,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "loss": "bce+dice",
        }
    )


def ours(dataset: Dataset) -> Contender:
    case, task, protocol = dataset.cases()[0].id, dataset.task, settings()
    return lambda: prepare_arrays(load_case(dataset, case), task, protocol)


def ours_cached(dataset: Dataset, cache: Path) -> Contender:
    case, task, protocol = dataset.cases()[0].id, dataset.task, settings()

    def prepare() -> PreparedCase:
        shutil.rmtree(cache, ignore_errors=True)
        return store(dataset, case, task, protocol, cache)

    return prepare


def store(dataset: Dataset, case: str, task: Task, protocol: Protocol, folder: Path) -> PreparedCase:
    write_prepared(load_case(dataset, case), task, protocol, folder)
    return PreparedCase(dataset.cases()[0], folder)


def peer_monai(files: list[str]) -> Contender:
    import monai.transforms as T  # noqa: N812, PLC0415 an optional package

    both = ("image", "label")
    chain = T.Compose(
        [
            T.LoadImaged(both),
            T.EnsureChannelFirstd(both),
            T.CropForegroundd(both, "image", allow_smaller=True),
            T.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            T.CopyItemsd("image", 1, "foreground"),
            T.Lambdad("foreground", lambda image: (image != 0).any(0, keepdim=True).float()),
            T.ConcatItemsd(("image", "foreground"), "image"),
            T.EnsureTyped(both),
        ]
    )
    return lambda: chain({"image": files[:4], "label": files[4]})


def peer_nnunet(files: list[str]) -> Contender:
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO  # noqa: PLC0415 an optional package
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor  # noqa: PLC0415
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: PLC0415

    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [SIDE] * 3,
        "median_image_size_in_voxels": [140, 170, 140],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * 4,
        "use_mask_for_norm": [True] * 4,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": {"network_class_name": "x", "arch_kwargs": {}, "_kw_requires_import": []},
        "batch_dice": False,
    }
    plans = PlansManager(
        {
            "dataset_name": "Dataset001_x",
            "plans_name": "nnUNetPlans",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {"3d_fullres": configuration},
            "foreground_intensity_properties_per_channel": {str(number): {} for number in range(4)},
            "image_reader_writer": "SimpleITKIO",
            "label_manager": "LabelManager",
            "experiment_planner_used": "x",
        }
    )
    described: dict[str, Any] = {
        "labels": {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4},
        "channel_names": {str(number): str(number) for number in range(4)},
        "file_ending": ".nii.gz",
    }
    reader, preprocessor = SimpleITKIO(), DefaultPreprocessor(verbose=False)

    def prepare() -> object:
        image, properties = reader.read_images(files[:4])
        label, _ = reader.read_seg(files[4])
        stages = plans.get_configuration("3d_fullres")
        return preprocessor.run_case_npy(image, label, properties, plans, stages, described)

    return prepare


def patches(dataset: Dataset, folder: Path) -> dict[str, Contender]:
    """Return the ways to copy a random patch."""
    case = store(dataset, dataset.cases()[0].id, dataset.task, settings(), folder)
    source = Patches([case], settings(), device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    image = case.image().astype(np.float32)
    label = case.label().copy()
    rng = np.random.default_rng(0)
    image_out = np.empty((len(image), SIDE, SIDE, SIDE), np.float32)
    label_out = np.empty((SIDE, SIDE, SIDE), np.uint8)

    def copy() -> object:
        starts = [int(rng.integers(size - SIDE + 1)) for size in label.shape]
        part = tuple(slice(start, start + SIDE) for start in starts)
        np.copyto(image_out, image[(slice(None), *part)])
        np.copyto(label_out, label[part])
        return image_out, label_out

    return {
        "from benchbench's cache": lambda: source.batch(torch.tensor([0]), generator=generator),
        "from memory, to memory in use": copy,
        "from memory, to new memory": lambda: tuple(part.copy() for part in copy()),  # type: ignore[attr-defined]
    }


if __name__ == "__main__":
    main()
