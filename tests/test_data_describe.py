"""`data describe`: the facts about a dataset, and the protocol of nnU-Net's rules."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from commands import benchbench
from PIL import Image
from torch import nn

from benchbench.contract import Case, CaseRef, Task
from benchbench.engine.preparation.description import CaseDescription, describe_case
from benchbench.engine.preparation.suggestion import feature_values, plan_sizes, suggest_protocol, topology_of
from benchbench.report.dataset_sections import DatasetSection, Quantity, number_text
from benchbench.report.page.dataset_page import dataset_page
from benchbench.report.page.histogram import histogram, round_edges
from benchbench.spec.protocol import Protocol

TASK = Task(channels=("mr",), regions={"whole": (1, 2), "core": (2,)})
REF = CaseRef("a", "a")


def described(
    shape: tuple[int, ...] = (20, 320, 320),
    spacing: tuple[float, ...] | None = (3.6, 0.625, 0.625),
    nonzero: tuple[int, ...] | None = None,
    *,
    is_byte: bool = False,
) -> CaseDescription:
    return CaseDescription(REF, shape, nonzero or shape, spacing, is_byte, (), np.zeros((1, 0), np.float32), ())


def test_a_case_is_described_along_slices_rows_and_columns() -> None:
    image = np.zeros((1, 4, 6, 8), np.float32)  # right, anterior, superior
    image[0, 1:3, 2:4, 5] = np.arange(1, 5).reshape(2, 2)
    label = np.zeros((4, 6, 8), np.uint8)
    label[1:3, 2:4, 5] = [[1, 2], [2, 2]]
    case = Case(image=image, label=label, affine=np.diag([0.5, 1.0, 3.0, 1.0]), spacing_mm=(0.5, 1.0, 3.0))
    item = describe_case(REF, case, TASK)
    assert item.shape == (8, 6, 4)
    assert item.nonzero_shape == (1, 2, 2)
    assert item.spacing_mm == (3.0, 1.0, 0.5)
    assert item.region_voxels == (4, 3)
    assert item.voxel_ml == pytest.approx(0.0015)
    (channel,) = item.channels
    assert channel.mean == pytest.approx(10 / 192)
    assert sorted(item.labelled[0].tolist()) == [1, 2, 3, 4]


def test_an_image_has_rows_and_columns_and_no_volume() -> None:
    label = np.zeros((5, 7), np.uint8)
    label[2, 3] = 1
    case = Case(image=np.full((3, 5, 7), 9, np.uint8), label=label, affine=None, spacing_mm=None)
    item = describe_case(REF, case, Task(channels=("r", "g", "b"), regions={"spot": (1,)}))
    assert (item.shape, item.spacing_mm, item.voxel_ml, item.is_byte) == ((5, 7), None, None, True)
    assert item.region_voxels == (1,)


@pytest.mark.parametrize(
    ("spacing", "patch"),
    [((1.0, 1.0, 1.0), (40, 56, 40)), ((3.6, 0.625, 0.625), (20, 320, 256)), ((0.5, 0.7), (512, 384))],
)
def test_the_values_of_a_network_are_those_that_nnunet_counts(
    spacing: tuple[float, ...], patch: tuple[int, ...]
) -> None:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    topology = topology_of(spacing, patch)
    stages = len(topology.strides)
    most = 512 if len(patch) == 2 else 320
    with torch.device("meta"):
        network = unet.PlainConvUNet(
            1,
            stages,
            [min(most, 32 * 2**stage) for stage in range(stages)],
            nn.Conv2d if len(patch) == 2 else nn.Conv3d,
            3,
            [list(stride) for stride in topology.strides],
            2,
            3,
            2,
        )
    assert feature_values(topology, outputs=3) == network.compute_conv_feature_map_size(topology.patch)


@pytest.mark.parametrize(
    ("spacing", "shape", "n_cases", "outputs", "expected"),
    [
        ((1.0, 1.0, 1.0), (138, 169, 138), 484, 4, ((128, 128, 128), 2)),  # brain tumours of the Decathlon
        ((1.0, 1.0, 1.0), (36, 50, 35), 260, 3, ((40, 56, 40), 9)),  # its hippocampus
        ((3.6, 0.625, 0.625), (20, 320, 319), 32, 3, ((20, 320, 256), 2)),  # its prostate
        ((1.0, 1.0), (50, 35), 260 * 36, 3, ((56, 40), 366)),  # slices of the hippocampus
    ],
)
def test_patch_and_batch_are_those_of_published_plans(
    spacing: tuple[float, ...], shape: tuple[int, ...], n_cases: int, outputs: int, expected: object
) -> None:
    sizes = plan_sizes(spacing, shape, outputs=outputs, n_voxels=n_cases * float(np.prod(shape)))
    assert (sizes.patch, sizes.batch) == expected


@pytest.mark.parametrize(
    ("case", "task", "settings"),
    [
        (described(), TASK, {"ndim": 3, "spacing": "anisotropic", "intensity": "zscore", "loss": "bce+dice"}),
        (
            described(nonzero=(15, 200, 200)),
            Task(channels=("t1",), regions={"a": (1,), "b": (2,)}),
            {"crop": "nonzero", "intensity": "zscore_nonzero", "loss": "ce+dice"},
        ),
        (described(), Task(channels=("CT",), regions={"liver": (1,)}), {"intensity": "ct", "loss": "ce+dice"}),
        (described((300, 400), None, is_byte=True), TASK, {"ndim": 2, "intensity": "unit"}),
        (described((300, 400), (0.5, 0.5)), TASK, {"ndim": 2, "spacing": "median", "resize": "spacing"}),
        (described((20, 320, 320), None), TASK, {"ndim": 3}),
    ],
)
def test_a_suggestion_is_a_valid_protocol(case: CaseDescription, task: Task, settings: dict[str, object]) -> None:
    text = suggest_protocol([case] * 30, task)
    content = tomllib.loads(text)["protocol"]
    protocol = Protocol.model_validate_json(json.dumps(content))
    for name, value in settings.items():
        assert content[name] == value, name
    assert protocol.patch == tuple(content["patch"])
    assert ("spacing" in content) == (case.spacing_mm is not None)
    assert all(len(line) <= 90 or not line.startswith("#") for line in text.splitlines())


def test_the_command_prints_tables_and_writes_csv_and_suggestion(tmp_path: Path) -> None:
    for name, size in (("one", (30, 20)), ("two", (40, 20)), ("three", (50, 20))):
        for folder, values in (("images", 100), ("masks", 0)):
            (tmp_path / "eyes" / folder).mkdir(parents=True, exist_ok=True)
            pixels = np.full(size, values, np.uint8)
            if folder == "masks" and name != "one":
                pixels[:5, :4] = 255
            Image.fromarray(pixels).save(tmp_path / "eyes" / folder / f"{name}.png")
    (tmp_path / "eyes.toml").write_text(
        'title = "Eyes"\ndatasets = [{ name = "eyes", layout = "folders", regions = { disc = 255 } }]\n'
        'models = [{ name = "unet" }]\n[protocol]\npatch = [32, 32]\nepochs = 1\nbatch = 2\nloss = "bce"\n'
        'optimizer = { name = "adam", lr = 1e-3 }\n'
    )
    words = ["eyes.toml", "--data-root", tmp_path, "--csv", "eyes.csv", "--suggest", "protocol.toml"]
    done = benchbench("data", "describe", *words, "--page", "eyes.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert "eyes: 3 cases of 3 patients" in done.stdout
    assert ["rows", "30", "40", "50"] in lines
    assert ["disc", "2", "of", "3", "20", "20", "20"] in lines
    table = pd.read_csv(tmp_path / "eyes.csv")
    assert table["disc voxels"].tolist() == [0, 20, 20]  # one, three, two
    assert table["shape"].tolist() == ["30 20", "50 20", "40 20"]
    content = tomllib.loads((tmp_path / "protocol.toml").read_text())["protocol"]
    protocol = Protocol.model_validate_json(json.dumps(content))
    assert protocol.intensity == "unit"
    page = (tmp_path / "eyes.html").read_text()
    assert "3 cases of 3 patients" in page
    assert "<strong>rows</strong><br>30 to 50, median 40" in page
    assert page.count("<title>40 to 44: 1 case</title>") == 1  # eight bars at most: five rows in a bar
    assert "<strong>columns</strong><br>always 20<" in page
    assert "<strong>disc (voxels)</strong><br>always 20, 2 of 3 cases" in page
    assert ">Quantity</button>" in page
    assert ">Smallest</button>" in page
    assert "intensity = &#34;unit&#34;" in page
    assert "Phantom" not in page
    assert "http" not in page.replace("http-equiv", ""), "the page needs no network"


def test_volumes_have_millilitres(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_Lumps"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    (root / "dataset.json").write_text(
        '{"channel_names": {"0": "MR"}, "labels": {"background": 0, "lump": 1}, "numTraining": 1,'
        ' "file_ending": ".nii.gz"}'
    )
    label = np.zeros((10, 10, 6), np.uint8)
    label[:5, :5, :4] = 1  # 100 voxels of 0.02 ml
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    image = np.arange(600, dtype=np.float32).reshape(10, 10, 6)
    nibabel.save(nibabel.Nifti1Image(image, affine), root / "imagesTr" / "a_0000.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), root / "labelsTr" / "a.nii.gz")
    (tmp_path / "lumps.toml").write_text(
        'title = "Lumps"\ndatasets = [{ name = "Dataset001_Lumps", layout = "nnunet" }]\n'
        'models = [{ name = "unet" }]\n[protocol]\npatch = [32, 32]\nepochs = 1\nbatch = 2\nloss = "bce"\n'
        'optimizer = { name = "adam", lr = 1e-3 }\n'
    )
    done = benchbench("data", "describe", "lumps.toml", "--data-root", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert "Sizes of regions, in ml" in done.stdout
    assert ["lump", "1", "of", "1", "2.000", "2.000", "2.000"] in lines
    assert ["slice", "spacing", "(mm)", "5.000", "5.000", "5.000"] in lines


def quantity(values: list[float], *, decimals: int | None = None, n_cases: int = 0) -> Quantity:
    return Quantity("size", values, decimals, n_cases or len(values))


@pytest.mark.parametrize(
    ("values", "is_whole", "edges"),
    [
        ([20, 88], True, [20, 30, 40, 50, 60, 70, 80, 90]),  # 8.5 for eight bars: the next round width is 10
        ([3, 5], True, [3, 4, 5, 6]),
        ([1.37, 1.664], False, [1.35, 1.4, 1.45, 1.5, 1.55, 1.6, 1.65, 1.7]),
        ([0.7, 1.0], False, [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]),
    ],
)
def test_bars_have_round_edges(values: list[float], is_whole: bool, edges: list[float]) -> None:
    assert round_edges(values, is_whole=is_whole)[0] == pytest.approx(edges)


def test_a_histogram_counts_every_case_once() -> None:
    values = np.random.default_rng(0).normal(100, 30, 200).round(1).tolist()
    chart = histogram(quantity(values))
    counts = [int(bar["title"].split(": ")[1].split()[0]) for bar in chart["bars"]]
    assert sum(counts) == 200
    assert 8 <= len(counts) <= 20
    assert max(counts) == int(chart["tallest"].split()[0])


def test_a_quantity_without_variation_is_a_sentence_and_has_no_bars() -> None:
    assert histogram(quantity([1.0, 1.0], decimals=3))["sentence"] == "always 1.000"
    assert not histogram(quantity([1.0, 1.0]))["bars"]
    assert histogram(quantity([], n_cases=4))["sentence"] == "in no case"
    assert histogram(quantity([5.0], n_cases=4))["note"] == "1 of 4 cases"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (83395, 0, "83,395"),
        (83395.2, None, "83,395"),
        (1234567.0, None, "1,234,567"),
        (0.0001234, None, "0.0001234"),
        (25.23456, None, "25.23"),
        (152.0, None, "152"),
        (0.0, None, "0"),
        (-1024.0, None, "-1,024"),
        (10.0, 3, "10.000"),
    ],
)
def test_numbers_have_commas_and_no_powers_of_ten(value: float, decimals: int | None, text: str) -> None:
    assert number_text(value, decimals) == text


def test_the_page_of_phantom_data_says_so() -> None:
    sections = [DatasetSection("Sizes", "Voxels", ("quantity", "median"), [["rows", "64"]], [])]
    assert "Phantom data" in dataset_page("acdc", "1 case", sections, protocol="", is_phantom=True)
    assert "Phantom data" not in dataset_page("acdc", "1 case", sections, protocol="", is_phantom=False)
