"""Writes the network of a finished run as a MONAI bundle, and compares the bundle with the run.

Source: Cardoso et al. 2022, arXiv:2211.02701; MONAI Bundle Specification
Differs: there is no models/model.pt, whose weights would need the class of the network.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.data.atomic import new_folder
from benchbench.engine.inference.predict import Predictor
from benchbench.errors import UsageError
from benchbench.prediction.bundles.comparison import Differences, compare_bundle
from benchbench.prediction.bundles.example import example_of_image, random_example
from benchbench.prediction.bundles.inference_config import MODEL_FILE, gives_logits, inference_config
from benchbench.prediction.bundles.metadata import bundle_metadata, readme
from benchbench.prediction.bundles.refusals import check_expressible
from benchbench.prediction.bundles.traced import write_traced
from benchbench.prediction.network_files import geometry_of_trained
from benchbench.prediction.runs import FinishedRun
from benchbench.prediction.trained import Trained


@dataclass(frozen=True, kw_only=True)
class ExportedBundle:
    """A bundle, compared with its run."""

    path: Path
    differences: Differences
    compared_on: str
    """The image of the comparison, in words."""


def export_bundle(run: FinishedRun, trained: Trained, images: list[Path], out: Path) -> ExportedBundle:
    """Write a run as a bundle to a new folder, and predict an image, or random numbers, with both.

    Raises:
        UsageError: the folder exists, a setting cannot be expressed, or the network cannot be traced.
        StorageError: the folder cannot be written.
    """
    check_expressible(trained)
    if out.exists():
        raise UsageError(f"{out}: exists, not replaced; give another folder to --out")
    metadata = bundle_metadata(run, trained)
    with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
        if images:
            example = example_of_image(images, trained, Path(scratch))
        else:
            example = random_example(trained, Path(scratch))
        with new_folder(out) as folder:
            write_bundle(folder, trained, metadata, is_8_bit=example.is_8_bit)
        differences = compare_bundle(out, example, trained)
    return ExportedBundle(path=out, differences=differences, compared_on=example.name)


def write_bundle(folder: Path, trained: Trained, metadata: Mapping[str, Any], *, is_8_bit: bool) -> None:
    """Write the files of a bundle for images of 8-bit or of other values to a folder that exists.

    Raises:
        UsageError: the network cannot be traced.
    """
    (predictor,) = trained.predictors.values()
    assert isinstance(predictor, Predictor), "one run is exported"
    config = inference_config(trained, is_8_bit=is_8_bit)
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4))
    (folder / "configs" / "inference.json").write_text(json.dumps(config, indent=4))
    (folder / "docs" / "README.md").write_text(readme(metadata, trained, is_8_bit=is_8_bit))
    geometry = geometry_of_trained(trained)
    write_traced(predictor, geometry, folder / MODEL_FILE, gives_logits=gives_logits(trained))
