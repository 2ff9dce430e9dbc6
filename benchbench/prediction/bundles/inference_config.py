"""The configuration `inference.json` of a bundle: data, network, inferer and the way to a label map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchbench.engine.inference.export import region_labels
from benchbench.engine.inference.postprocess import THRESHOLD
from benchbench.prediction.bundles.preprocessing import Entry, preprocessing, resizing
from benchbench.prediction.trained import Trained
from benchbench.spec.protocol import Protocol

MODEL_FILE = "models/model.ts"
_SIGMA_SCALE = 0.125
_BELL = f"torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) / ({_SIGMA_SCALE} * n)) ** 2)"
_PRODUCT = {
    2: "torch.einsum('a,b->ab', *bells)[None, None]",
    3: "torch.einsum('a,b,c->abc', *bells)[None, None]",
}
_IMPORTS = ["$import glob", "$import os", "$import monai", "$import numpy", "$import torch"]


def inference_config(trained: Trained, *, is_8_bit: bool) -> dict[str, Any]:
    """Return the content of `inference.json`; `is_8_bit` is True for images of 8-bit values."""
    protocol = trained.protocol
    (statistics,) = trained.predictors
    functions = resizing(protocol, statistics, is_8_bit=is_8_bit)
    return {
        "imports": _IMPORTS,
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "$@bundle_root + '/images'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": f"$torch.jit.load(@bundle_root + '/{MODEL_FILE}', map_location=@device)",
        "network": "$@network_def.to(@device).eval()",
        **functions,
        "preprocessing": _compose(preprocessing(protocol, statistics, is_8_bit=is_8_bit)),
        "dataset": {
            "_target_": "Dataset",
            "data": _data(protocol, channels=len(trained.task.channels)),
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        **_inferer(protocol),
        "restoring": _compose(_restoring(trained, functions)),
        "deciding": _compose(_deciding(trained)),
        "saving": _saving(protocol),
        "postprocessing": _compose(["@restoring", "@deciding", "@saving"]),
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def gives_logits(trained: Trained) -> bool:
    """Return True if the network file gives logits: those are averaged, or there is nothing to average."""
    protocol = trained.protocol
    (predictor,) = trained.predictors.values()
    passes = len(predictor.models) * (2 if protocol.inference.flips else 1)  # type: ignore[union-attr]
    has_windows = not is_one_input(protocol)
    return protocol.inference.average == "logits" or (passes == 1 and not has_windows)


def is_one_input(protocol: Protocol) -> bool:
    """Return True if an image is one input of the network, and not several windows."""
    return protocol.ndim == 2 and protocol.resize == "fit"


def label_table(regions: Mapping[str, tuple[int, ...]]) -> list[int]:
    """Return the label value of each combination of regions; bit k of the index says that region k is there."""
    numbers = np.arange(2 ** len(regions))
    masks = np.stack([(numbers >> bit & 1).astype(bool) for bit in range(len(regions))])
    table: list[int] = region_labels(masks, regions).tolist()
    return table


def _compose(transforms: list[Any]) -> Entry:
    return {"_target_": "Compose", "transforms": transforms}


def _data(protocol: Protocol, *, channels: int) -> str:
    """Return the expression for the images in `dataset_dir`: a file each, or one for each channel."""
    if protocol.ndim == 2:
        return "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.*'))]"
    if channels == 1:
        return "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.nii*'))]"
    of_case = f"[path.replace('_0000.nii', f'_{{number:04}}.nii') for number in range({channels})]"
    return f"$[{{'image': {of_case}}} for path in sorted(glob.glob(@dataset_dir + '/*_0000.nii*'))]"


def _inferer(protocol: Protocol) -> Entry:
    if is_one_input(protocol):
        return {"inferer": {"_target_": "SimpleInferer"}}
    windows = {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(protocol.patch),
        "sw_batch_size": 1,
        "overlap": protocol.inference.overlap,
        "mode": protocol.inference.importance,
        "sigma_scale": _SIGMA_SCALE,
    }
    if protocol.inference.importance == "constant":
        return {"inferer": windows}
    # MONAI raises the weights of a Gaussian to 0.001, which is much at the corners of a window
    return {
        "sliding_windows": windows,
        "window_weights": f"$(lambda bells: {_PRODUCT[protocol.ndim]})([{_BELL} for n in {list(protocol.patch)}])",
        "inferer": "$vars(@sliding_windows).update(roi_weight_map=@window_weights) or @sliding_windows",
    }


def _restoring(trained: Trained, functions: Entry) -> list[Any]:
    """Return the way from the output of the network to probabilities on the grid of the image."""
    steps: list[Any] = []
    if gives_logits(trained):
        steps.append({"_target_": "Activationsd", "keys": "pred", trained.protocol.activation: True})
    if functions:
        steps.append("@restore_size")
    steps.append(
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
        }
    )
    return steps


def _deciding(trained: Trained) -> list[Entry]:
    """Return the way from probabilities to label values."""
    regions = trained.task.regions
    if trained.protocol.activation == "softmax":
        of_class = [0]
        table = label_table(regions)
        of_class += [table[1 << number] for number in range(len(regions))]
        return [
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            _lookup(f"torch.tensor({of_class})[x.long()]"),
        ]
    rules = trained.postprocess
    thresholds = [rules.thresholds.get(region, THRESHOLD) if rules else THRESHOLD for region in regions]
    masks = [_threshold(thresholds)]
    if rules and rules.nested:
        masks.append(_lookup("x.cumprod(0)"))
    bits = [1 << number for number in range(len(regions))]
    index = f"torch.einsum('k...,k->...', x, torch.tensor({bits}, dtype=x.dtype, device=x.device))[None]"
    return [*masks, _lookup(f"torch.tensor({label_table(regions)}, device=x.device)[{index}.long()]")]


def _threshold(thresholds: list[float]) -> Entry:
    if len(set(thresholds)) == 1:
        return {"_target_": "AsDiscreted", "keys": "pred", "threshold": thresholds[0]}
    return _lookup(f"torch.stack([channel >= low for channel, low in zip(x, {thresholds})]).float()")


def _lookup(expression: str) -> Entry:
    return {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda x: {expression}"}


def _saving(protocol: Protocol) -> Entry:
    return {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
        "output_postfix": "seg",
        "output_ext": ".png" if protocol.ndim == 2 else ".nii.gz",
        "output_dtype": "$numpy.uint8",
        "separate_folder": False,
        "resample": False,
    }
