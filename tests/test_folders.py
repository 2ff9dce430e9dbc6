"""Own images in folders: what the patterns find, what the masks mean, and what is refused by name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import benchbench
from numpy.typing import NDArray

from benchbench import CaseRef, DataError, DataNotFoundError
from benchbench.data.folds import make_folds
from benchbench.registry.parameters import resolve_params
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench_datasets.bids import Bids
from benchbench_datasets.folder_writers import write_image
from benchbench_datasets.folders import Folders
from benchbench_datasets.lgg import Lgg

REAL = Path(__file__).parents[2] / "shared" / "data" / "lgg"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 200, (8, 16, 24), dtype=np.uint8)
CUP = np.zeros((8, 16, 24), bool)
CUP[:, 4:9, 5:12] = True
DISC = np.zeros((8, 16, 24), bool)
DISC[:, 3:12, 4:16] = True
DISC &= ~CUP


def save(path: Path, values: NDArray[Any]) -> None:
    """Write (H, W), or colours (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0))


def refusal(dataset: Folders, case_id: str = "") -> str:
    """Return the problems of a case, or of finding cases."""
    read = partial(dataset.load, case_id) if case_id else dataset.cases
    with pytest.raises(DataError) as caught:
        read()
    return str(caught.value)


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    """A folder of eight images with masks of the values 0, 128 and 255."""
    root = tmp_path / "eyes"
    for number, (image, cup, disc) in enumerate(zip(IMAGES, CUP, DISC, strict=True), start=1):
        save(root / "images" / f"eye{number}.png", image)
        save(root / "masks" / f"eye{number}.png", np.select([cup, disc], [255, 128], 0).astype(np.uint8))
    return root


VALUES: dict[str, Any] = {"regions": {"cup": 255, "disc": 128}}


def test_cases_are_named_by_the_pattern_and_sorted_by_their_numbers(eyes: Path) -> None:
    save(eyes / "images" / "eye10.png", IMAGES[0])
    save(eyes / "masks" / "eye10.png", CUP[0].astype(np.uint8) * 255)
    names = ["eye1", "eye2", "eye3", "eye4", "eye5", "eye6", "eye7", "eye8", "eye10"]
    assert Folders(eyes, **VALUES).cases() == [CaseRef(name, name) for name in names]


def test_a_case_has_the_values_of_its_files(eyes: Path) -> None:
    dataset = Folders(eyes, **VALUES, spacing_mm=(0.5, 0.25))
    assert dataset.task.channels == ("image",)
    assert dataset.task.regions == {"cup": (255,), "disc": (128,)}
    case = dataset.load("eye2")
    assert np.array_equal(case.image, IMAGES[1][None])
    assert np.array_equal(case.label == 255, CUP[1])
    assert np.array_equal(case.label == 128, DISC[1])
    assert case.spacing_mm == (0.5, 0.25)
    assert dataset.files("eye2") == [eyes / "images" / "eye2.png", eyes / "masks" / "eye2.png"]


def regions_of(dataset: Folders, case_id: str) -> Mapping[str, NDArray[np.bool_]]:
    label = dataset.load(case_id).label
    return {name: np.isin(label, values) for name, values in dataset.task.regions.items()}


def test_values_colours_and_a_file_for_each_region_give_the_same_regions(eyes: Path, tmp_path: Path) -> None:
    coloured, separate, volumes = tmp_path / "coloured", tmp_path / "separate", tmp_path / "volumes"
    for number, (image, cup, disc) in enumerate(zip(IMAGES, CUP, DISC, strict=True), start=1):
        colours = np.zeros((*cup.shape, 3), np.uint8)
        colours[cup], colours[disc], colours[0, 0] = (255, 0, 0), (0, 255, 0), (9, 9, 9)
        save(coloured / "images" / f"eye{number}.png", image)
        save(coloured / "masks" / f"eye{number}.png", colours)
        save(separate / f"eye{number}.tif", image)
        save(separate / f"eye{number}_cup.tif", cup.astype(np.uint8))
        save(separate / f"eye{number}_disc.tif", disc.astype(np.uint8) * 200)
        volumes.mkdir(exist_ok=True)
        write_image(volumes / f"eye{number}.nii.gz", image[None, :, :, None])
        label = np.select([cup, disc], [2, 1], 0).astype(np.uint8)
        write_image(volumes / f"eye{number}_seg.nii.gz", label[None, :, :, None])
    colour_regions: dict[str, Any] = {"cup": "#ff0000", "disc": "#00FF00"}
    files = {"cup": "{case}_cup.tif", "disc": "{case}_disc.tif"}
    names: dict[str, Any] = {"images": "{case}.nii.gz", "masks": "{case}_seg.nii.gz"}
    expected = {"cup": CUP[4], "disc": DISC[4]}
    for dataset in (
        Folders(eyes, **VALUES),
        Folders(coloured, regions=colour_regions, background="#090909"),
        Folders(separate, images="{case}.tif", masks=files),
        Folders(volumes, **names, regions={"cup": 2, "disc": 1}),
    ):
        assert len(dataset.cases()) == 8
        regions = regions_of(dataset, "eye5")
        assert list(regions) == ["cup", "disc"]
        for name, region in expected.items():
            assert np.array_equal(regions[name].squeeze(), region), dataset


def test_regions_of_separate_files_may_overlap_and_some_voxels_may_be_ignored(tmp_path: Path) -> None:
    root = tmp_path / "eyes"
    whole = CUP[0] | DISC[0]
    unsure = np.zeros_like(whole)
    unsure[5] = True
    save(root / "a.png", IMAGES[0])
    for name, mask in {"cup": CUP[0], "whole": whole, "ignore": unsure}.items():
        save(root / f"a_{name}.png", mask.astype(np.uint8))
    masks = {name: f"{{case}}_{name}.png" for name in ("whole", "cup", "ignore")}
    dataset = Folders(root, images="{case}.png", masks=masks)
    assert dataset.task.regions == {"whole": (1, 3), "cup": (2, 3)}
    assert dataset.task.ignored == (4, 5, 6, 7)
    label = dataset.load("a").label
    assert np.array_equal(np.isin(label, (4, 5, 6, 7)), unsure)
    assert np.array_equal(np.isin(label, (1, 3)), whole & ~unsure)
    assert np.array_equal(np.isin(label, (2, 3)), CUP[0] & ~unsure)


def test_several_patterns_are_several_channels(tmp_path: Path) -> None:
    root = tmp_path / "heads"
    for name, values in {"t1": IMAGES[0], "flair": IMAGES[1], "seg": CUP[0].astype(np.uint8)}.items():
        (root / "p1").mkdir(parents=True, exist_ok=True)
        write_image(root / "p1" / f"scan_{name}.nii.gz", values[None, :, :, None], spacing_mm=(1.0, 2.0, 3.0))
    images = ("{patient}/{case}_t1.nii.gz", "{patient}/{case}_flair.nii.gz")
    dataset = Folders(root, images=images, masks="{patient}/{case}_seg.nii.gz", regions={"lesion": 1})
    assert dataset.task.channels == ("t1", "flair")
    assert dataset.cases() == [CaseRef("scan", "p1")]
    case = dataset.load("scan")
    assert np.array_equal(case.image[..., 0], IMAGES[:2])
    assert case.spacing_mm == (1.0, 2.0, 3.0)


def test_the_patient_is_before_the_case_where_two_patients_have_a_case_of_one_name(tmp_path: Path) -> None:
    root = tmp_path / "visits"
    for patient in ("p1", "p2"):
        save(root / patient / "first.png", IMAGES[0])
        save(root / patient / "first_mask.png", CUP[0].astype(np.uint8) * 255)
    save(root / "p2" / "second.png", IMAGES[0])
    save(root / "p2" / "second_mask.png", CUP[0].astype(np.uint8) * 255)
    dataset = Folders(root, images="{patient}/{case}.png", masks="{patient}/{case}_mask.png")
    assert dataset.cases() == [CaseRef("second", "p2"), CaseRef("p1_first", "p1"), CaseRef("p2_first", "p2")]


def test_slices_are_stacked_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = tmp_path / "stacks"
    for number in range(8, 12):
        save(root / f"p_{number}.png", IMAGES[number - 8])
        save(root / f"p_{number}_mask.png", CUP[0].astype(np.uint8) * number)
    regions: dict[str, Any] = {"lesion": (8, 9, 10, 11)}
    patterns: dict[str, Any] = {"images": "{case}_{slice}.png", "masks": "{case}_{slice}_mask.png"}
    case = Folders(root, **patterns, regions=regions).load("p")
    assert np.array_equal(case.image[0], IMAGES[:4])
    assert case.label[:, 4, 5].tolist() == [8, 9, 10, 11]
    (root / "p_10.png").unlink()
    assert refusal(Folders(root, **patterns, regions=regions), "p") == (
        "stacks: p_10_mask.png: found no image for it, expected p_10.png; add it or move the file away"
        "; the nearest name there is p_11.png: rename it if that is the file"
    )
    (root / "p_10_mask.png").unlink()
    assert refusal(Folders(root, **patterns, regions=regions), "p") == (
        "stacks: p_11.png: found no slice 10 of its case, expected every slice; add the files"
    )


def test_patients_and_metadata_come_from_a_table(eyes: Path) -> None:
    rows = "".join(f"eye{number},{(number + 1) // 2},{'ab'[number % 2]},x\n" for number in range(1, 9))
    (eyes / "eyes.csv").write_text(f"file,person,camera,site\n{rows}")
    columns: dict[str, Any] = {"table": "eyes.csv", "case_column": "file", "patient_column": "person"}
    dataset = Folders(eyes, **VALUES, **columns)
    assert [case.patient for case in dataset.cases()] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert dataset.metadata() == {str(patient): {"site": "x"} for patient in range(1, 5)}
    assert Folders(eyes, **VALUES, table="eyes.csv", case_column="file").metadata()["eye3"] == {
        "person": "2",
        "camera": "b",
        "site": "x",
    }
    (eyes / "eyes.csv").write_text("file,person\neye1,1\neye2,1\n")
    assert refusal(Folders(eyes, **VALUES, **columns)) == (
        "eyes: eyes.csv: found no row for eye3, eye4, eye5, eye6, eye7 and 1 more, expected one for each case"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "found no such table, expected a CSV file; correct `table`"),
        (
            "a,b\n1,2\n",
            "found columns a, b, expected 'file'; correct `case_column`, `patient_column` or `labelled_column`",
        ),
        (
            "file\n1\n",
            "found columns file, expected 'person'; correct `case_column`, `patient_column` or `labelled_column`",
        ),
        ("file,person\n1\n", "row 2: found 1 values, expected 2; correct the row"),
        ("file,person\n1,2\n1,3\n", "row 3: found '1' again, expected one row for each; remove one"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(eyes: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (eyes / "eyes.csv").write_text(text)
    dataset = Folders(eyes, **VALUES, table="eyes.csv", case_column="file", patient_column="person")
    assert refusal(dataset) == f"eyes: eyes.csv: {problem}"


def test_files_without_a_counterpart_are_named_with_the_nearest_name(eyes: Path) -> None:
    (eyes / "masks" / "eye3.png").rename(eyes / "masks" / "eye_3.png")
    dataset = Folders(eyes, **VALUES)
    assert "eye3" not in [case.id for case in dataset.cases()]
    assert "eye3" in [case.id for case in dataset.image_cases()]
    assert refusal(dataset, "eye_3") == (
        "eyes: masks/eye_3.png: found no image for it, expected images/eye_3.png; add it or move the file away"
        "; the nearest name there is images/eye3.png: rename it if that is the file"
    )
    assert np.array_equal(dataset.load_image("eye3").image[0], IMAGES[2])


def test_two_files_of_one_case_are_refused(eyes: Path) -> None:
    save(eyes / "site b" / "eye1.png", IMAGES[0])
    (eyes / "images").rename(eyes / "site a")
    dataset = Folders(eyes, images="site */{case}.png", masks="masks/{case}.png", regions=VALUES["regions"])
    assert refusal(dataset) == (
        "eyes: site b/eye1.png: found site a/eye1.png for the same case, expected one file; move one away"
    )


def test_a_folder_without_cases_names_the_patterns(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        Folders(tmp_path).cases()
    assert str(caught.value) == (
        f"{tmp_path.name}: {tmp_path}: found no case, expected files like images/{{case}}.png and masks/{{case}}.png;"
        " correct `images`, `masks` or the data root"
    )


@pytest.mark.parametrize(
    ("mask", "options", "problem"),
    [
        (
            np.full((16, 24), 7, np.uint8),
            VALUES,
            "found values 7 (384 px), expected only 0, 255, 128; name them in",
        ),
        (
            np.arange(384).reshape(16, 24).astype(np.uint8),
            VALUES,
            "more, expected only 0, 255, 128; save masks with",
        ),
        (
            np.zeros((16, 24, 3), np.uint8),
            VALUES,
            "found 3 samples per pixel, expected one; save the label values",
        ),
        (
            np.zeros((16, 23), np.uint8),
            VALUES,
            "found shape (16, 23), expected (16, 24) like its image; resample one",
        ),
        (
            np.full((16, 24, 3), (1, 2, 3), np.uint8),
            {"regions": {"cup": "#ff0000"}},
            "found values #010203 (384 px), expected only 0, #ff0000; name them in `regions` or `background`",
        ),
    ],
)
def test_a_mask_with_other_values_is_refused(
    eyes: Path, mask: NDArray[Any], options: dict[str, Any], problem: str
) -> None:
    save(eyes / "masks" / "eye1.png", mask)
    assert re.match(rf"eyes: masks/eye1.png: .*{re.escape(problem)}", refusal(Folders(eyes, **options), "eye1"))


def test_a_colour_image_says_which_channels_to_name(eyes: Path) -> None:
    save(eyes / "images" / "eye1.png", np.stack([IMAGES[0]] * 3, axis=-1))
    assert refusal(Folders(eyes, **VALUES), "eye1") == (
        'eyes: images/eye1.png: found 3 channels, expected 1 (image); set channels = ["red", "green", "blue"]'
        " for the dataset in the benchmark file"
    )
    coloured = Folders(eyes, **VALUES, channels=("red", "green", "blue"))
    assert coloured.load("eye1").image.shape == (3, 16, 24)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"images": "{id}.png"},
            "images: '{id}.png': found '{id}', expected the fields {patient}, {case} and {slice}",
        ),
        (
            {"masks": "images/{case}.png"},
            "masks: found 'images/{case}.png' twice, expected a pattern for each kind",
        ),
        (
            {"masks": "masks/{patient}.png"},
            "masks: found patterns with different fields, expected the same in all",
        ),
        ({"regions": {}}, "regions: found no region, expected at least one with its value in the mask"),
        (
            {"regions": {"a": 0}},
            "regions: found 0 or black for 'a', which is the background; choose another value",
        ),
        ({"regions": {"a": "red"}}, "regions: found 'red', expected a number or a colour like \"#ff0000\""),
        ({"regions": {"a": "#ff0000", "b": 1}}, "regions: found numbers and colours, expected one of the two"),
        ({"patient_column": "person"}, "patient_column: found a column without a table; give `table`"),
    ],
)
def test_parameters_that_contradict_each_other_are_named(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError) as caught:
        Folders(tmp_path / "eyes", **options)
    assert str(caught.value).startswith(f"eyes: {problem}")


BENCHMARK = """title = "Eyes"
datasets = [{ name = "eyes", layout = "folders", regions = { cup = 255, disc = 128 } }]
models = [{ name = "unet", width = 4 }]
[protocol]
patch = [32, 32]
epochs = 1
batch = 4
loss = "bce+dice"
optimizer = { name = "adam", lr = 1e-3 }
"""


@pytest.mark.usefixtures("card_only")
def test_own_images_are_benchmarked_with_nine_lines(eyes: Path, tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text(BENCHMARK)
    assert len(BENCHMARK.splitlines()) == 9
    done = benchbench(
        "run",
        "eyes.toml",
        "--data-root",
        tmp_path,
        "--jobs",
        0,
        "--no-pictures",
        "--set",
        "protocol.folds=2",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    folds = (tmp_path / "results" / "eyes" / "folds.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in folds[1:3]] == ["eyes", "eyes"]
    assert eyes.is_dir()


@pytest.mark.usefixtures("card_only")
def test_own_images_can_be_rehearsed_without_files(tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text(BENCHMARK)
    done = benchbench(
        "run", "eyes.toml", "--rehearse", "--jobs", 0, "--no-pictures", "--only", "fold=0", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "rehearsal" / "eyes" / "folds.csv").exists()


def test_a_missing_folder_of_own_images_says_where_to_put_them(tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text(BENCHMARK)
    done = benchbench("run", "eyes.toml", "--data-root", tmp_path, "--jobs", 0, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.strip() == (
        f"error: eyes: no folder {tmp_path}/eyes; put the files of 'eyes' there ('benchbench data get FILE' if"
        " the benchmark file has their `url`), or add --rehearse to try phantom data"
    )


LGG: dict[str, Any] = {
    "images": "kaggle_3m/{patient}/{patient}_{slice}.tif",
    "masks": "kaggle_3m/{patient}/{patient}_{slice}_mask.tif",
    "regions": {"tumour": 255},
    "channels": ("pre_contrast", "flair", "post_contrast"),
}


@pytest.mark.real
def test_real_lgg_patients_give_the_cases_and_folds_of_their_own_plugin() -> None:
    if not REAL.is_dir():
        pytest.skip("no real LGG patients")
    by_patterns, built_in = Folders(REAL, **LGG), Lgg(REAL)
    cases = built_in.cases()
    assert sorted(by_patterns.cases()) == sorted(cases)
    folds = {"folds": 5, "validation": 0.2, "test": None}
    assert [fold.digest for fold in make_folds(by_patterns.cases(), **folds)] == [
        fold.digest for fold in make_folds(cases, **folds)
    ]
    for case in cases[:3]:
        first, second = by_patterns.load(case.id), built_in.load(case.id)
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.label == 255, second.label == 1)


def test_the_examples_of_the_documentation_can_be_opened() -> None:
    text = (Path(__file__).parents[1] / "docs" / "own_data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    entries = [entry for block in blocks for entry in tomllib.loads(block).get("datasets", [])]
    assert [entry["name"] for entry in entries] == [
        "eyes",
        "Dataset004_Hippocampus",
        "stroke",
        "lesions",
        "heads",
        "stacks",
        "stroke",
    ]
    for entry in entries:
        checked = DatasetEntry.model_validate_json(json.dumps(entry))
        if entry["layout"] == "folders":
            assert Folders(Path(entry["name"]), **resolve_params(Folders, checked.params)).task.regions
        elif entry["layout"] == "bids":
            assert Bids(Path(entry["name"]), **resolve_params(Bids, checked.params)).root.name == "stroke"


def test_the_datasets_of_a_benchmark_file_are_verified(eyes: Path, tmp_path: Path) -> None:
    (tmp_path / "eyes.toml").write_text(BENCHMARK)
    words = ("data", "verify", "eyes.toml", "--data-root", tmp_path, "--folds", 2)
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "eyes: 8 cases (8 slices) of 8 patients are valid; fingerprint " in done.stdout
    (eyes / "masks" / "eye3.png").write_bytes(b"")
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 3
    assert "error: eyes: masks/eye3.png: found an empty file" in done.stderr


def test_layouts_are_named_as_such(tmp_path: Path) -> None:
    done = benchbench("data", "status", "folders", "nnunet", "--data-root", tmp_path, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "folders: a layout for your own files: name it in a benchmark file",
        "nnunet: a layout for your own files: name it in a benchmark file",
    ]
    done = benchbench("show", "nnunet", cwd=tmp_path)
    assert done.returncode == 0
    assert "channels and regions: those that its files describe" in done.stdout


def test_augmentations_are_drawn_for_regions_of_several_values(eyes: Path, tmp_path: Path) -> None:
    text = BENCHMARK.replace("{ cup = 255, disc = 128 }", "{ whole = [128, 255] }")
    (tmp_path / "eyes.toml").write_text(text)
    words = ("show", "eyes.toml", "--augmentations", tmp_path / "draws.png", "--data-root", eyes.parent)
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "draws.png").stat().st_size > 0
