"""The file `metadata.json` of a bundle, and its README.

Source: MONAI Bundle Specification, with the schema meta_schema_20240725
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchbench.metrics.class_scores import BACKGROUND
from benchbench.prediction.bundles.inference_config import gives_logits, is_one_input, label_table
from benchbench.prediction.network_files import describe_network
from benchbench.prediction.runs import FinishedRun
from benchbench.prediction.trained import Trained
from benchbench.words import count

SCHEMA = "https://project-monai.github.io/schema/meta_schema_20240725.json"
_PACKAGES = ("nibabel", "pillow", "scipy", "pytorch-ignite", "fire")


def bundle_metadata(run: FinishedRun, trained: Trained) -> dict[str, Any]:
    """Return the content of `metadata.json`."""
    record = run.record
    regions = ", ".join(trained.task.regions)
    model = record.resolved["model"]["name"]
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by benchbench {version('benchbench')}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": _versions(),
        "name": f"{record.model} on {record.dataset}",
        "task": f"Segmentation of {regions} in images of {trained.dataset.name}",
        "description": f"{model}, trained and tested by benchbench in the run {record.key}",
        "authors": "the authors of the benchmark",
        "copyright": "that of the authors of the benchmark",
        "data_source": trained.dataset.source,
        "data_type": _data_type(trained),
        "image_classes": ", ".join(trained.task.channels),
        "pred_classes": ", ".join(_classes(trained)),
        "intended_use": "research; not for clinical use",
        "network_data_format": _network_data_format(trained),
        "benchbench": describe_network(run, trained),
    }


def readme(metadata: Mapping[str, Any], trained: Trained, *, is_8_bit: bool) -> str:
    """Return the text of `docs/README.md`."""
    regions = [f"- {name}: label {_values(values)}" for name, values in trained.task.regions.items()]
    lines = [
        f"# {metadata['name']}",
        "",
        f"{metadata['task']}. {metadata['description']}. It is for research, not for clinical use.",
        "",
        "```",
        "pip install 'monai[nibabel,pillow,fire,ignite]' scipy",
        "python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\",
        "    --dataset_dir images --output_dir eval",
        "```",
        "",
        f"Images are {_images(trained)}. Their channels are {metadata['image_classes']}. {_depth(is_8_bit)}",
        "",
        "The label maps have these values:",
        "",
        *regions,
        "",
    ]
    return "\n".join(lines)


def _versions() -> dict[str, str]:
    """Return the versions of the packages that the bundle needs in addition to MONAI's own needs."""
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # needed to run the bundle, not to write it
            versions[name] = ""
    return versions


def _network_data_format(trained: Trained) -> dict[str, Any]:
    protocol = trained.protocol
    is_patch_data = not is_one_input(protocol)
    space = {"spatial_shape": list(protocol.patch), "dtype": "float32", "is_patch_data": is_patch_data}
    classes = _classes(trained)
    image = {
        "type": "image",
        "format": "hounsfield" if protocol.intensity == "ct" else "magnitude",
        "modality": "CT" if protocol.intensity == "ct" else "n/a",
        "num_channels": len(trained.task.channels),
        "value_range": [0, 1] if protocol.intensity in {"unit", "percentile"} else [],
        "channel_def": {str(number): name for number, name in enumerate(trained.task.channels)},
    }
    output = {
        "type": "image" if gives_logits(trained) else "probabilities",
        "format": "labels" if protocol.activation == "softmax" else "classes",
        "num_channels": len(classes),
        "value_range": [] if gives_logits(trained) else [0, 1],
        "channel_def": {str(number): name for number, name in enumerate(classes)},
    }
    label_names = {
        str(value): _names_of(value, trained) for value in sorted(set(label_table(trained.task.regions)))
    }
    label = {
        "type": "image",
        "format": "segmentation",
        "num_channels": 1,
        "spatial_shape": ["*"] * len(protocol.patch),
        "dtype": "uint8",
        "value_range": [0, max(map(int, label_names))],
        "is_patch_data": False,
        "channel_def": label_names,
    }
    return {
        "inputs": {"image": {**image, **space}},
        "outputs": {"pred": {**output, **space}},
        "post_processed_outputs": {"pred": label},
    }


def _classes(trained: Trained) -> list[str]:
    names = list(trained.task.regions)
    return [BACKGROUND, *names] if trained.protocol.activation == "softmax" else names


def _names_of(value: int, trained: Trained) -> str:
    """Return the names of the regions that a label value belongs to."""
    names = [name for name, values in trained.task.regions.items() if value in values]
    return " and ".join(names) or BACKGROUND


def _values(values: tuple[int, ...]) -> str:
    return " or ".join(map(str, values))


def _data_type(trained: Trained) -> str:
    return "nibabel" if trained.protocol.ndim == 3 else "PNG or TIFF"


def _images(trained: Trained) -> str:
    channels = len(trained.task.channels)
    if trained.protocol.ndim == 2:
        return "PNG or TIFF files of one slice, each prepared on its own"
    if channels == 1:
        return "NIfTI files"
    return f"NIfTI files, {count(channels, 'file')} for each case: case_0000.nii.gz, case_0001.nii.gz and so on"


def _depth(is_8_bit: bool) -> str:
    return "Values must have 8 bits." if is_8_bit else ""
