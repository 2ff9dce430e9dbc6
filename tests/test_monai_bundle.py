"""`benchbench export --format monai-bundle`: MONAI alone predicts what the run predicts."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from commands import benchbench
from phantom_runs import PhantomRun

from benchbench import Case, DatasetPlugin, Task
from benchbench.engine.inference.predict import Predictor
from benchbench.engine.preparation.statistics import NO_STATISTICS, ChannelStatistics, Statistics
from benchbench.errors import UsageError
from benchbench.prediction.bundles.comparison import compare_bundle, has_same_windows
from benchbench.prediction.bundles.example import Example, _write_planes, random_example
from benchbench.prediction.bundles.inference_config import label_table
from benchbench.prediction.bundles.refusals import check_expressible
from benchbench.prediction.bundles.write import write_bundle
from benchbench.prediction.in_memory import predict_case
from benchbench.prediction.trained import Trained
from benchbench.spec.protocol import Protocol

SETTINGS = {"epochs": 1, "batch": 1, "optimizer": {"name": "adam", "lr": 1.0}, "loss": "bce"}
VOLUMES = {**SETTINGS, "ndim": 3, "patch": (8, 8, 8)}
SLICES = {**SETTINGS, "ndim": 2, "patch": (32, 32)}
REGIONS = {"whole": (1, 2), "core": (2,)}
CT = Statistics(None, (ChannelStatistics(150.0, 450.0, 310.0, 80.0),))
MEDIAN = Statistics((1.3, 0.9, 1.1), (ChannelStatistics(150.0, 450.0, 310.0, 80.0),))
FACTS = {"least_mm": [1.0, 1.0, 1.0], "most_mm": [2.0, 1.5, 1.0], "orientations": ["SAR"]}


def trained_on(settings: dict[str, Any], *, channels: int = 1, statistics: Statistics = NO_STATISTICS) -> Trained:
    """Return one or two networks with random weights under a protocol, as they are after a run."""
    protocol = Protocol.model_validate(settings)
    torch.manual_seed(0)
    classes = len(REGIONS) + (protocol.activation == "softmax")
    convolution = torch.nn.Conv3d if protocol.ndim == 3 else torch.nn.Conv2d
    models = [convolution(channels, classes, 3, padding=1).eval() for _ in range(protocol.keep)]
    names = tuple(f"channel{number}" for number in range(channels))
    return Trained(
        dataset=DatasetPlugin(name="ours", open=lambda root: root, source="ours"),
        dataset_params={},
        task=Task(channels=names, regions=REGIONS if classes == 2 else {"one": (1,), "two": (2,)}),
        protocol=protocol,
        predictors={statistics: Predictor(models, protocol, torch.device("cpu"))},
        postprocess=protocol.postprocess,
        image_facts=FACTS if protocol.ndim == 3 else {},
        part_of_case={},
        remarks=(),
    )


def bundle_of(trained: Trained, folder: Path, *, is_8_bit: bool) -> Path:
    folder.mkdir()
    write_bundle(
        folder, trained, {"name": "n", "task": "t", "description": "d", "image_classes": "c"}, is_8_bit=is_8_bit
    )
    return folder


PROTOCOLS = {
    "zscore_nonzero and crop": ({"intensity": "zscore_nonzero", "crop": "nonzero"}, NO_STATISTICS),
    "percentile": ({"intensity": "percentile"}, NO_STATISTICS),
    "zscore, windowed": ({"intensity": "zscore", "window": (200.0, 400.0)}, NO_STATISTICS),
    "unit, windowed": ({"window": (200.0, 400.0), "crop": "nonzero"}, NO_STATISTICS),
    "unit, softmax": ({"loss": "ce", "inference": {"importance": "constant"}}, NO_STATISTICS),
    "ct at a fixed voxel size": ({"intensity": "ct", "spacing": (1.4, 1.2, 0.8), "resampling": "linear"}, CT),
    "ct at the median voxel size": ({"intensity": "ct", "spacing": "median", "crop": "nonzero"}, MEDIAN),
    "two checkpoints and flips": ({"keep": 2, "inference": {"flips": True, "average": "logits"}}, NO_STATISTICS),
    "thresholds": ({"postprocess": {"thresholds": {"whole": 0.4, "core": 0.45}, "nested": True}}, NO_STATISTICS),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_volume_is_predicted_as_by_the_run(tmp_path: Path, name: str) -> None:
    settings, statistics = PROTOCOLS[name]
    channels = 1 if statistics.intensities else 2
    trained = trained_on(VOLUMES | settings, channels=channels, statistics=statistics)
    check_expressible(trained)
    example = random_example(trained, tmp_path)
    differences = compare_bundle(bundle_of(trained, tmp_path / "bundle", is_8_bit=False), example, trained)
    assert len(np.unique(predict_case("image", example.case, trained).labels)) > 1
    assert differences.largest < 1e-5
    assert differences.equal > 0.9999


def slice_example(tmp_path: Path, image: np.ndarray) -> Example:
    case = Case(image=image, label=np.zeros(image.shape[1:], np.uint8), affine=None, spacing_mm=None)
    return Example(name="slice", case=case, files=_write_planes(case, tmp_path))


@pytest.mark.parametrize(
    ("settings", "size", "dtype"),
    [
        ({}, (32, 24), np.uint8),
        ({}, (64, 48), np.uint8),
        ({"crop": "nonzero", "intensity": "zscore_nonzero"}, (16, 16), np.uint16),
        ({"resize": "spacing", "intensity": "percentile"}, (40, 40), np.uint16),
        ({"keep": 2}, (16, 13), np.uint16),
    ],
)
def test_a_slice_is_predicted_as_by_the_run(
    tmp_path: Path, settings: dict[str, Any], size: tuple[int, int], dtype: type
) -> None:
    trained = trained_on(SLICES | settings, channels=3)
    image = np.random.default_rng(1).integers(0, 256, (3, *size)).astype(dtype)
    example = slice_example(tmp_path, image)
    bundle = bundle_of(trained, tmp_path / "bundle", is_8_bit=dtype is np.uint8)
    differences = compare_bundle(bundle, example, trained)
    assert differences.largest < 1e-4
    assert differences.equal > 0.999


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (VOLUMES | {"denoise": "tv"}, 'protocol.denoise = "tv"'),
        (SLICES | {"context": 1}, "protocol.context = 1"),
        (VOLUMES | {"one_hot_foreground": True}, "protocol.one_hot_foreground = true"),
        (VOLUMES | {"intensity": "zscore_nonzero", "window": (1.0, 2.0)}, "protocol.window = [1, 2]"),
        (VOLUMES | {"intensity": "ct"}, 'protocol.intensity = "ct"'),
        (SLICES | {"patch": (32, 64)}, "protocol.patch = [32, 64]"),
        (SLICES | {"resize": "spacing", "spacing": (1.0, 1.0)}, "protocol.spacing = (1.0, 1.0)"),
        (VOLUMES | {"spacing": (4.0, 1.0, 1.0)}, "protocol.spacing = 4 x 1 x 1"),
        (VOLUMES | {"postprocess": {"components": {"core": 5}}}, "protocol.postprocess.components = {'core': 5}"),
        (VOLUMES | {"postprocess": {"totals": {"core": 5}}}, "protocol.postprocess.totals = {'core': 5}"),
    ],
)
def test_a_setting_that_monai_cannot_express_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_expressible(trained_on(settings, channels=2))
    assert str(caught.value).startswith(f"--format monai-bundle: {message}: ")
    assert str(caught.value).endswith("; use --format torchscript")


def test_a_label_value_is_that_of_its_regions() -> None:
    assert label_table({"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)}) == [0, 2, 0, 1, 0, 2, 4, 4]


def test_windows_at_other_voxels_are_noticed() -> None:
    protocol = Protocol.model_validate(VOLUMES)
    assert has_same_windows((8, 12, 16), protocol)  # starts 0; 0, 4; 0, 4, 8
    assert not has_same_windows((8, 8, 14), protocol)  # 0, 3, 6 here, and 0, 4, 6 in MONAI
    assert has_same_windows((40, 40), Protocol.model_validate(SLICES))


def check_metadata(metadata: dict[str, Any]) -> None:
    """Check the keys and types that meta_schema_20240725 asks for."""
    assert metadata["schema"].endswith("/meta_schema_20240725.json")
    texts = ["schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description"]
    assert all(isinstance(metadata[key], str) for key in [*texts, "authors", "copyright"])
    assert isinstance(metadata["required_packages_version"], dict)
    for part in ("inputs", "outputs", "post_processed_outputs"):
        for tensor in metadata["network_data_format"][part].values():
            assert isinstance(tensor["num_channels"], int)
            assert {type(size) for size in tensor["spatial_shape"]} <= {int, str}
            assert {type(value) for value in tensor["value_range"]} <= {int, float}
            assert isinstance(tensor["is_patch_data"], bool)
            assert isinstance(tensor["channel_def"], dict)
            assert all(isinstance(tensor[key], str) for key in ("type", "format", "dtype"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("few_plugins")
def test_a_run_is_exported_as_a_bundle(slices_run: PhantomRun, tmp_path: Path) -> None:
    (image,) = sorted(slices_run.images.glob("**/TCGA*_1.tif"))[:1]
    words = ["export", slices_run.folder.path, "--format", "monai-bundle", "--image", image]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith("lgg_unet_default_0_0: probabilities differ by at most ")
    assert "voxels have the same label on image TCGA_" in line
    bundle = tmp_path / "lgg_unet_default_0_0"
    files = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*.*"))
    assert files == ["configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.ts"]
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    check_metadata(metadata)
    given = metadata["network_data_format"]["inputs"]["image"]
    assert given["channel_def"] == {"0": "pre_contrast", "1": "flair", "2": "post_contrast"}
    assert (given["num_channels"], given["spatial_shape"], given["value_range"]) == (3, [32, 32], [0, 1])
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "tumour"}
    assert metadata["benchbench"]["run"] == "lgg/unet/default/fold0/seed0"
    again = benchbench(*words, cwd=tmp_path)
    assert again.returncode == 2
    assert "lgg_unet_default_0_0: exists, not replaced; give another folder to --out" in again.stderr


@pytest.mark.usefixtures("few_plugins")
def test_a_run_with_rules_of_its_own_is_not_exported_as_a_bundle(volumes_run: PhantomRun, tmp_path: Path) -> None:
    done = benchbench("export", volumes_run.folder.path, "--format", "monai-bundle", cwd=tmp_path)
    assert done.returncode == 2
    assert "protocol.postprocess.components = {'enhancing': " in done.stderr
    assert not list(tmp_path.glob("brats*"))


def without_benchbench(code: str, folder: Path) -> None:
    """Run code in a Python that cannot import benchbench."""
    hidden = "import sys, warnings\nwarnings.simplefilter('ignore')\nsys.modules['benchbench'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", hidden + code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


PARSER = """
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config("configs/inference.json")
get = parser.get_parsed_content
for items in get("dataset"):
    items["pred"] = get("inferer")(items["image"][None], get("network")).detach()[0]
    get("postprocessing")(items)
"""
COMMAND = """
from monai.bundle import run
run(config_file="configs/inference.json", bundle_root=".")
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [PARSER, COMMAND], ids=["parser", "command"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_bundle_needs_no_benchbench(tmp_path: Path, code: str, ndim: int) -> None:
    if code == COMMAND and find_spec("ignite") is None:
        pytest.skip("needs pytorch-ignite")
    settings = VOLUMES | {"intensity": "zscore_nonzero", "crop": "nonzero"} if ndim == 3 else SLICES
    trained = trained_on(settings, channels=2 if ndim == 3 else 3)
    bundle = bundle_of(trained, tmp_path / "bundle", is_8_bit=ndim == 2)
    (bundle / "images").mkdir()
    example = random_example(trained, bundle / "images")
    if ndim == 2:  # one file with all channels
        for path in example.files:
            path.unlink()
        tifffile.imwrite(
            bundle / "images" / "image.tif", np.moveaxis(example.case.image, 0, -1), photometric="rgb"
        )
    without_benchbench(code, bundle)
    (written,) = (bundle / "eval").iterdir()
    expected = predict_case("image", example.case, trained).labels
    if ndim == 3:
        stored = nib.load(written)
        assert np.array_equal(np.asarray(stored.dataobj), expected)
        assert np.allclose(stored.affine, example.case.affine)
    else:
        from PIL import Image

        assert np.array_equal(np.asarray(Image.open(written)), expected)
