"""ONNX and TorchScript files of networks that were trained on real patients predict what their runs predict."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom_runs import PhantomRun, train
from torch import Tensor, nn

from benchbench.contract import Case
from benchbench.engine.inference.predict import Predictor
from benchbench.prediction.in_memory import predict_case
from benchbench.prediction.network_files import Format, export_network, geometry_of_trained
from benchbench.prediction.network_inputs import random_input
from benchbench.prediction.runs import Row, choose_runs
from benchbench.prediction.trained import Trained, open_trained
from benchbench.registry.registry import discover

REAL = Path(__file__).parents[2] / "shared/data/lgg"
PATIENTS = ("TCGA_CS_5393_19990606", "TCGA_CS_6667_20011105", "TCGA_HT_7686_19950629")
PROTOCOL = """
title = "Real"
datasets = [{{ name = "lgg" }}]
models = [{model}]

[protocol]
{space}
folds = 3
epochs = 3
batch = 4
optimizer = {{ name = "adam", lr = 1e-2 }}
loss = "bce+dice"
metrics = ["dice"]
"""
NETWORKS = {
    "unet_2d": ('{ name = "unet", widths = [4, 8], norm = "instance" }', "patch = [64, 64]"),
    "unext": ('{ name = "unext", widths = [8, 8, 10, 10, 10] }', "patch = [64, 64]"),
    "unet_3d": (
        '{ name = "unet", widths = [4, 8], norm = "instance" }',
        "ndim = 3\npatch = [16, 128, 128]\npatches_per_case = 4\nvalidate_every = 3\ninference = { overlap = 0.0 }",
    ),
}
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="needs the extra export"
)


class Session(nn.Module):
    """An ONNX file as a network."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        super().__init__()
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def forward(self, images: Tensor) -> Tensor:
        (logits,) = self._session.run(None, {"images": np.ascontiguousarray(images.numpy())})
        return torch.from_numpy(logits)


def read(path: Path, output_format: Format) -> nn.Module:
    return Session(path) if output_format == "onnx" else torch.jit.load(str(path)).eval()


def real_case(trained: Trained) -> Case:
    """Return a slice with a tumour in 2D, otherwise the slices of a patient around it."""
    dataset = trained.dataset.open(REAL)
    case = dataset.load(PATIENTS[0])
    middle = int(case.label.sum((1, 2)).argmax())
    if trained.protocol.ndim == 2:
        return dataclasses.replace(case, image=case.image[:, middle], label=case.label[middle])
    part = slice(max(0, middle - 10), middle + 10)
    return dataclasses.replace(
        case, image=case.image[:, part, 64:192, 64:192], label=case.label[part, 64:192, 64:192]
    )


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("output_format", ["torchscript", pytest.param("onnx", marks=needs_onnx)])
def test_a_file_predicts_a_real_image_as_its_run(tmp_path: Path, name: str, output_format: Format) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")
    folder = tmp_path / "data" / "lgg" / "kaggle_3m"
    folder.mkdir(parents=True)
    for patient in PATIENTS:
        (folder / patient).symlink_to(REAL / "kaggle_3m" / patient)
    model, space = NETWORKS[name]
    train(tmp_path, PROTOCOL.format(model=model, space=space), data_root=tmp_path / "data")
    (run,) = choose_runs(str(PhantomRun(tmp_path, "lgg").folder.path), Row(results=tmp_path))
    trained = open_trained([run], discover(("lgg", "unet", "unext")), torch.device("cpu"))
    path = tmp_path / "network"
    given = random_input(geometry_of_trained(trained))
    assert export_network(run, trained, given, output_format=output_format, out=path).difference <= 1e-4
    case = real_case(trained)
    expected = predict_case("image", case, trained)
    (statistics,) = trained.predictors
    of_file = Predictor([read(path, output_format)], trained.protocol, torch.device("cpu"))
    predicted = predict_case("image", case, dataclasses.replace(trained, predictors={statistics: of_file}))
    difference = np.abs(predicted.probabilities["tumour"] - expected.probabilities["tumour"]).max()
    assert expected.probabilities["tumour"].std() > 1e-3, "the prediction is not the same everywhere"
    assert difference <= 1e-4
