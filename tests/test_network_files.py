"""`benchbench export`: networks in files of other formats give the outputs of their runs."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import benchbench
from phantom_runs import PhantomRun
from safetensors import safe_open

from benchbench import Geometry
from benchbench.prediction.network_inputs import _centred, random_input

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="needs the extra export"
)
FORMATS = ["torchscript", "safetensors", pytest.param("onnx", marks=needs_onnx)]


def first_image(run: PhantomRun) -> list[object]:
    (image,) = sorted(run.images.glob("**/TCGA*_1.tif"))[:1]
    return ["--image", image]


def metadata_of(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        with safe_open(str(path), framework="pt") as file:
            return json.loads(file.metadata()["benchbench"])
    if path.suffix == ".onnx":
        import onnx

        stored = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        return json.loads(stored["benchbench"])
    extra = {"benchbench": ""}
    torch.jit.load(str(path), _extra_files=extra)
    return json.loads(extra["benchbench"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("few_plugins")
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_slice_gives_the_logits_of_the_run(slices_run: PhantomRun, tmp_path: Path, output_format: str) -> None:
    words = ["export", slices_run.folder.path, "--format", output_format, *first_image(slices_run)]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = [path for path in tmp_path.iterdir() if path.is_file()]
    assert path.stem == "lgg_unet_default_0_0"
    line = done.stdout.splitlines()[-1]
    assert line.startswith(f"{path.name}: logits differ by at most ")
    assert " on image TCGA_" in line
    assert float(line.split("at most ")[1].split(" on ")[0]) <= 1e-4
    described = metadata_of(path)
    assert described["intensity"] == "unit"
    assert described["regions"] == {"tumour": [1]}
    assert described["channels"] == ["pre_contrast", "flair", "post_contrast"]
    assert (described["input"], described["activation"]) == ([3, 32, 32], "sigmoid")
    assert described["run"] == "lgg/unet/default/fold0/seed0"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("few_plugins")
def test_a_torchscript_file_predicts_batches_of_any_size_without_benchbench(
    slices_run: PhantomRun, tmp_path: Path
) -> None:
    done = benchbench("export", slices_run.folder.path, "--format", "torchscript", "--out", "net.pt", cwd=tmp_path)
    assert "net.pt: logits differ by at most 0 on random numbers" in done.stdout
    network = torch.jit.load(str(tmp_path / "net.pt"))
    images = torch.randn(5, 3, 32, 32)
    together = network(images)
    assert together.shape == (5, 1, 32, 32)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("few_plugins")
@pytest.mark.parametrize("output_format", ["torchscript", "safetensors"])
def test_a_volume_gives_the_logits_of_the_run(volumes_run: PhantomRun, tmp_path: Path, output_format: str) -> None:
    (patient, *_) = sorted(path for path in volumes_run.images.glob("BraTS2021_*"))
    words = ["export", volumes_run.folder.path, "--format", output_format, "--image", patient]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1].split("at most ")[1].split(" on ")[0]) <= 1e-4
    (path,) = [path for path in tmp_path.iterdir() if path.is_file()]
    assert metadata_of(path)["regions"]["enhancing"] == [4]


@pytest.mark.usefixtures("few_plugins")
def test_what_cannot_be_exported_is_refused(
    slices_run: PhantomRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = slices_run.folder.path
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("benchbench.extras.find_spec", lambda name: None if name == "onnx" else name)
    done = benchbench("export", folder, "--format", "onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "--format onnx needs onnx, which is not installed; pip install 'benchbench[export]'" in done.stderr
    (tmp_path / "empty").mkdir()
    done = benchbench("export", folder, "--format", "safetensors", "--image", tmp_path / "empty", cwd=tmp_path)
    assert done.returncode == 3
    assert benchbench("export", "nothing", "--format", "safetensors", cwd=tmp_path).returncode == 2


def test_random_inputs_have_the_size_of_the_network() -> None:
    assert random_input(Geometry(3, 1, (32, 64))).images.shape == (2, 3, 32, 64)
    assert random_input(Geometry(1, 2, (8, 16, 16))).images.shape == (1, 1, 8, 16, 16)


def test_larger_images_are_cropped_and_smaller_ones_padded_around_the_middle() -> None:
    images = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
    assert _centred(images, (4, 1))[0, 0].tolist() == [[0], [2], [5], [0]]
