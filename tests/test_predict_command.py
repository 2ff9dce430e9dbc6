"""`benchbench predict`: the label files of images old and new, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tifffile
from commands import Done, benchbench
from lgg_patients import PATIENT, write_patient
from phantom_runs import PhantomRun
from PIL import Image
from toy_benchmark import Finished

from benchbench.metrics.masks import unpack
from benchbench.records.run_folder import RunFolder
from benchbench.scoring import Scoring, score_paths

pytestmark = pytest.mark.usefixtures("few_plugins")
REAL = Path(__file__).parents[2] / "shared/data"
BRATS_REGIONS = {"whole_tumour": (1, 2, 4), "tumour_core": (1, 4), "enhancing": (4,)}
BRATS_CHANNELS = ("flair", "t1", "t1ce", "t2")
COUNTS = ["tp", "fp", "fn", "tn"]


def predict(source: object, *words: object, into: Path, **keywords: Any) -> Done:
    return benchbench("predict", source, *words, "--into", into, "--device", "cpu", cwd=into.parent, **keywords)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def recorded(folder: RunFolder, table: str) -> pd.DataFrame:
    record = folder.read_record()
    assert record
    return folder.read_table(table, record).to_pandas()


def scored(reference: Path, prediction: Path, regions: Mapping[str, tuple[int, ...]]) -> pd.DataFrame:
    scores = score_paths(reference, prediction, Scoring(regions=regions, metrics=("dice",)), threads=1)
    return scores.cases


def masks_in(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


# the numbers of the run


def test_test_slices_predicted_again_have_the_counts_and_dice_of_the_run(
    tmp_path: Path, slices_run: PhantomRun
) -> None:
    done = predict(slices_run.folder.path, slices_run.images, "--suffix", "_mask", into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    slices = recorded(slices_run.folder, "slices.parquet")
    assert slices["tp"].sum() > 0
    reference = tmp_path / "reference"
    reference.mkdir()
    for case in slices["case"].unique():
        for path in (slices_run.images / "kaggle_3m" / case).glob("*_mask.tif"):
            shutil.copy(path, reference)
    for path in (tmp_path / "out").iterdir():  # predictions of cases that were not tested
        if not (reference / path.name).exists():
            path.unlink()
    again = scored(reference, tmp_path / "out", {"tumour": (1, 255)}).set_index("case")
    names = slices["case"] + "_" + (slices["slice"] + 1).astype(str) + "_mask"
    again = again.loc[names]
    np.testing.assert_array_equal(again[COUNTS].to_numpy(), slices[COUNTS].to_numpy())
    dice = 2 * slices["tp"] / (2 * slices["tp"] + slices["fp"] + slices["fn"]).where(lambda total: total > 0)
    np.testing.assert_array_equal(again["dice"].to_numpy(), dice.fillna(1).to_numpy())


def test_test_volumes_predicted_again_have_the_counts_and_dice_of_the_run(
    tmp_path: Path, volumes_run: PhantomRun
) -> None:
    done = predict(volumes_run.folder.path, volumes_run.images, "--suffix", "_seg", into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    cases = recorded(volumes_run.folder, "cases.parquet")
    assert cases["tp"].sum() > 0
    for case in cases["case"].unique():
        name = f"{case}_seg.nii.gz"
        again = scored(volumes_run.images / case / name, tmp_path / "out" / name, BRATS_REGIONS)
        of_case = cases[cases["case"] == case].set_index("region").loc[again["region"]]
        np.testing.assert_array_equal(again[COUNTS].to_numpy(), of_case[COUNTS].to_numpy())
        dice = 2 * of_case["tp"] / (2 * of_case["tp"] + of_case["fp"] + of_case["fn"])
        np.testing.assert_array_equal(again["dice"].to_numpy(), dice.fillna(1).to_numpy())


def test_a_label_has_the_header_of_the_first_image_file(tmp_path: Path, volumes_run: PhantomRun) -> None:
    (patient,) = list(volumes_run.images.glob("BraTS2021_*"))[:1]
    assert predict(volumes_run.folder.path, patient, into=tmp_path / "out").returncode == 0
    assert names_in(tmp_path / "out") == [f"{patient.name}.nii.gz"]
    image = nib.load(patient / f"{patient.name}_flair.nii.gz")
    label = nib.load(tmp_path / "out" / f"{patient.name}.nii.gz")
    assert label.shape == image.shape
    for field in ("pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "xyzt_units"):
        np.testing.assert_array_equal(label.header[field], image.header[field])


def test_a_volume_in_another_orientation_has_the_same_prediction_in_the_world(
    tmp_path: Path, volumes_run: PhantomRun
) -> None:
    (patient,) = list(volumes_run.images.glob("BraTS2021_*"))[:1]
    turned = tmp_path / "turned"
    turned.mkdir()
    for number, channel in enumerate(BRATS_CHANNELS):
        image = nib.load(patient / f"{patient.name}_{channel}.nii.gz")
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
        nib.save(nib.as_closest_canonical(image).slicer[:, :, :], turned / f"turned_{number:04}.nii.gz")
    done = predict(volumes_run.folder.path, patient, turned, into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path / "out") == [f"{patient.name}.nii.gz", "turned.nii.gz"]
    stored, canonical = (nib.load(tmp_path / "out" / name) for name in names_in(tmp_path / "out"))
    assert nib.aff2axcodes(canonical.affine) == ("R", "A", "S")
    restored = nib.as_closest_canonical(stored)
    assert np.asarray(restored.dataobj).any()
    np.testing.assert_array_equal(np.asarray(restored.dataobj), np.asarray(canonical.dataobj))


# images without labels


def test_a_dataset_without_labels_is_predicted_and_nothing_else_is_needed(
    tmp_path: Path, slices_run: PhantomRun
) -> None:
    folder = write_patient(tmp_path / "kaggle_3m", slices=3, size=16)
    for path in folder.glob("*_mask.tif"):
        path.unlink()
    done = predict(slices_run.folder.path, tmp_path, into=tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert names_in(tmp_path / "out") == [f"{PATIENT}_{n}.tif" for n in (1, 2, 3)]
    labels = tifffile.imread(tmp_path / "out" / f"{PATIENT}_1.tif")
    assert labels.shape == (16, 16)
    assert set(np.unique(labels)) <= {0, 1}
    assert done.stdout.splitlines()[-1] == f"{tmp_path / 'out'}: labels of 1 case written"


def test_files_of_any_format_are_predicted_like_the_slices_of_the_dataset(
    tmp_path: Path, slices_run: PhantomRun
) -> None:
    folder = write_patient(tmp_path / "kaggle_3m", slices=2, size=16)
    files = tmp_path / "files"
    files.mkdir()
    slices = [tifffile.imread(folder / f"{PATIENT}_{n}.tif") for n in (1, 2)]
    Image.fromarray(slices[0]).save(files / "png.png")
    tifffile.imwrite(files / "stack.tif", np.stack(slices), photometric="rgb")
    for channel in range(3):
        Image.fromarray(slices[0][..., channel]).save(files / f"three_{channel:04}.png")
    volume = np.stack(slices).transpose(0, 1, 2, 3)  # (S, H, W, C): slices across the first axis, as stored
    nib.save(
        nib.nifti1.Nifti1Image(volume.transpose(2, 1, 0, 3), np.diag([-1.0, -1, 1, 1])), files / "four.nii.gz"
    )
    run = slices_run.folder.path
    assert predict(run, folder, into=tmp_path / "expected").returncode == 0
    done = predict(run, files, into=tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert names_in(tmp_path / "out") == ["four.nii.gz", "png.png", "stack.tif", "three.png"]
    expected = [tifffile.imread(tmp_path / "expected" / f"{PATIENT}_{n}.tif") for n in (1, 2)]
    for name in ("png.png", "three.png"):
        assert np.array(Image.open(tmp_path / "out" / name)).tolist() == expected[0].tolist()
    assert tifffile.imread(tmp_path / "out" / "stack.tif").tolist() == np.stack(expected).tolist()
    assert masks_in(tmp_path / "out" / "four.nii.gz").shape == (16, 16, 2)


def test_a_fault_of_one_image_stops_no_other(tmp_path: Path, slices_run: PhantomRun) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "good.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "good.png").read_bytes()[:50])
    Image.fromarray(pixels).save(tmp_path / "half_0000.png")
    Image.fromarray(pixels).save(tmp_path / "half_0001.png")
    words = ("grey.png", "damaged.png", "missing.png", "half_0000.png", "half_0001.png", "good.png")
    done = predict(slices_run.folder.path, *(tmp_path / word for word in words), into=tmp_path / "out")
    assert done.returncode == 3
    assert names_in(tmp_path / "out") == ["good.png"]
    assert [line.partition(": found")[0].partition(": no such")[0] for line in done.stderr.splitlines()] == [
        f"error: {tmp_path / 'missing.png'}",
        f"error: {tmp_path / 'half'}",
        f"error: {tmp_path / 'grey.png'}",
        f"error: {tmp_path / 'damaged.png'}",
    ]
    assert "found half_0000.png, half_0001.png, expected one file, or the channels 0000, 0001, 0002" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("labels of 1 case written, 4 not predicted")


def test_an_image_unlike_those_of_training_is_predicted_with_a_note(
    tmp_path: Path, volumes_run: PhantomRun
) -> None:
    values = np.random.default_rng(0).integers(1, 100, (8, 9, 10, 4)).astype(np.int16)
    nib.save(nib.nifti1.Nifti1Image(values, np.diag([-2.0, -2, 3, 1])), tmp_path / "large.nii.gz")
    tifffile.imwrite(tmp_path / "plane.tif", values[0, :, :, 0], photometric="minisblack")
    done = predict(
        volumes_run.folder.path, tmp_path / "large.nii.gz", tmp_path / "plane.tif", into=tmp_path / "out"
    )
    assert done.returncode == 3
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: large: ")]
    assert notes[0].startswith(
        "note: large: found voxels of 3 x 2 x 2 mm, far from the 7.5 x 7.5 x 7.5 mm of the training images"
    )
    assert notes[1].startswith("note: large: no voxel is 0, so ")
    assert "plane.tif: found 1 channel, expected 4 (flair, t1, t1ce, t2)" in done.stderr
    assert names_in(tmp_path / "out") == ["large.nii.gz"]


def test_a_slice_is_refused_where_the_network_needs_a_volume(tmp_path: Path, volumes_run: PhantomRun) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    done = predict(volumes_run.folder.path, tmp_path / "a.tif", into=tmp_path / "out")
    assert done.returncode == 3
    expected = f"error: {tmp_path / 'a.tif'}: found an image of shape (8, 8), expected a volume: the network was"
    assert done.stderr.startswith(expected)


# what exists


def test_an_existing_label_is_neither_replaced_nor_lost_unless_asked(
    tmp_path: Path, slices_run: PhantomRun
) -> None:
    image, out = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(image)
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    refused = predict(slices_run.folder.path, image, into=out)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {out / 'a.png'}: exists, not replaced; give another folder, --existing skip or --existing"
        " overwrite\n"
    )
    skipped = predict(slices_run.folder.path, image, "--existing", "skip", into=out)
    assert skipped.returncode == 0
    assert "note: a: its files exist, so it is skipped" in skipped.stdout
    assert (out / "a.png").read_bytes() == b"mine"
    assert predict(slices_run.folder.path, image, "--existing", "overwrite", into=out).returncode == 0
    assert (out / "a.png").read_bytes() != b"mine"
    (out / "a.png").unlink()
    (out / "pictures").mkdir()
    (out / "pictures" / "a.png").write_bytes(b"mine")
    assert predict(slices_run.folder.path, image, "--pictures", into=out).returncode == 2
    assert not (out / "a.png").exists()
    assert predict(slices_run.folder.path, image, "--pictures", "--existing", "skip", into=out).returncode == 0
    assert (out / "a.png").exists()


def test_an_image_is_never_overwritten_with_its_label(tmp_path: Path, slices_run: PhantomRun) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(image)
    content = image.read_bytes()
    done = predict(slices_run.folder.path, image, "--existing", "overwrite", into=tmp_path)
    assert done.returncode == 2
    assert "is the image itself, not replaced" in done.stderr
    assert image.read_bytes() == content
    assert predict(slices_run.folder.path, image, "--suffix", "_label", into=tmp_path).returncode == 0
    assert (tmp_path / "a_label.png").exists()
    done = predict(slices_run.folder.path, image, "--suffix", "/../x", into=tmp_path)
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "error")


def test_two_images_of_one_name_are_both_refused(tmp_path: Path, slices_run: PhantomRun) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / folder / "x.png")
    done = predict(slices_run.folder.path, tmp_path / "a", tmp_path / "b", into=tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count("another image has the name x too; predict it into another folder") == 2


# further files


def test_pictures_and_probabilities_are_written_on_request(tmp_path: Path, volumes_run: PhantomRun) -> None:
    (patient,) = list(volumes_run.images.glob("BraTS2021_*"))[:1]
    run = volumes_run.folder
    done = predict(run.path, patient, "--pictures", "--probabilities", into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/pictures" / f"{patient.name}.png") as picture:
        assert picture.width > picture.height / 3 > 50
    stored = np.load(tmp_path / "out/probabilities" / f"{patient.name}.npz")
    assert list(stored) == list(BRATS_REGIONS)
    labels = masks_in(tmp_path / "out" / f"{patient.name}.nii.gz")
    record = run.read_record()
    assert record
    assert record.postprocess
    threshold = record.postprocess["thresholds"]["whole_tumour"]
    whole = stored["whole_tumour"] >= np.float32(threshold)
    np.testing.assert_array_equal(whole, labels > 0)


def test_a_terminal_shows_a_bar(tmp_path: Path, slices_run: PhantomRun) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.png")
    done = predict(slices_run.folder.path, tmp_path / "a.png", into=tmp_path / "out", columns=100)
    assert re.search(r"predicting.*1/1", done.stdout)


# rows, folds and ensembles


def probabilities(source: object, finished: Finished, into: Path, *words: object) -> dict[str, np.ndarray]:
    """Case -> probabilities of the one region."""
    results = ("--results", finished.folder.path, "--probabilities")
    done = predict(source, finished.data, *results, *words, into=into)
    assert done.returncode == 0, done.stderr
    return {path.stem: np.load(path)["square_0"] for path in (into / "probabilities").iterdir()}


def test_all_folds_of_a_row_predict_their_mean(tmp_path: Path, finished_pair: Finished) -> None:
    folds = [probabilities("plain", finished_pair, tmp_path / str(n), "--folds", n) for n in (0, 1)]
    both = probabilities("plain:default", finished_pair, tmp_path / "all", "--folds", "all")
    for case, mean in both.items():
        np.testing.assert_allclose(mean, (folds[0][case] + folds[1][case]) / 2, rtol=0, atol=1e-6)
        assert not np.array_equal(folds[0][case], folds[1][case])


def test_an_ensemble_predicts_the_mean_of_its_members_as_its_run_did(
    tmp_path: Path, finished_pair: Finished
) -> None:
    members = [probabilities(name, finished_pair, tmp_path / name) for name in ("plain", "plain_too")]
    both = probabilities("both", finished_pair, tmp_path / "both")
    for case, mean in both.items():
        np.testing.assert_allclose(mean, (members[0][case] + members[1][case]) / 2, rtol=0, atol=1e-6)
    (folder,) = (finished_pair.folder.path / "runs").glob("*/both/*/fold0_seed0")
    for row in recorded(RunFolder(folder), "predictions.parquet").to_dict("records"):
        labels = masks_in(tmp_path / "both" / f"{row['case']}.nii.gz")
        np.testing.assert_array_equal(labels, unpack(row))


def test_the_first_line_names_the_runs(tmp_path: Path, finished_pair: Finished) -> None:
    results = ("--results", finished_pair.folder.path)
    one = predict("plain", finished_pair.data, *results, into=tmp_path / "one").stdout.splitlines()
    assert one[0] == (
        "predicting with squares/plain/default/fold0/seed0, one of 2 folds; --folds all predicts with their mean"
    )
    assert one[1].startswith(
        "note: 2 of 4 images took part in training, so a score of them is not one of test cases"
    )
    many = predict("both", finished_pair.data, *results, "--folds", "all", into=tmp_path / "many")
    assert many.stdout.startswith(
        "predicting with the mean of squares/both/default: fold 0 seed 0, fold 1 seed 0\n"
    )
    (folder,) = (finished_pair.folder.path / "runs").glob("*/plain/*/fold1_seed0")
    row = predict(folder, finished_pair.data, "--folds", "0,1", into=tmp_path / "row")
    assert row.stdout.startswith(
        "predicting with the mean of squares/plain/default: fold 0 seed 0, fold 1 seed 0\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plian"], "plian: no such model in {results}; did you mean 'plain'?"),
        (["plain:defalt"], "plain:defalt: no such variant of 'plain'; did you mean 'default'?"),
        (["plain", "--dataset", "lgg"], "--dataset lgg: no run of plain on it; "),
        (["plain", "--folds", "2"], "--folds 2: found '2', expected some of 0, 1, or all"),
        (["plain", "--seeds", "x"], "--seeds x: found 'x', expected some of 0, or all"),
        (
            ["{results}"],
            "{results}: a results folder, not a run; name one of its models and add --results {results}",
        ),
        (["no/such"], "no/such: no such folder; give the folder of a run, or a model and --results"),
        (["{data}"], "{data}: no run.json in this folder; give the folder of a run, or a model and --results"),
    ],
)
def test_a_wrong_name_is_one_line(tmp_path: Path, finished_pair: Finished, words: list[str], message: str) -> None:
    places = {"results": finished_pair.folder.path, "data": finished_pair.data}
    source, *options = (word.format(**places) for word in words)
    options += ["--results", str(finished_pair.folder.path)]
    done = predict(source, finished_pair.data, *options, into=tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message.format(**places)}")
    assert done.stderr.count("\n") == 1


# what changed since the run


def changed(finished: Finished, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run whose record was changed."""
    copy = finished.copy(folder)
    (run,) = (copy.folder.path / "runs").glob("*/plain/*/fold0_seed0")
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))
    return run


def unchanged(record: dict[str, Any]) -> None: ...


def test_other_plugins_than_those_of_the_run_are_named_with_both_digests(
    tmp_path: Path, finished_pair: Finished
) -> None:
    original = {}

    def change(record: dict[str, Any]) -> None:
        for kind in ("dataset", "model"):
            original[kind] = record["resolved"][kind]["source_digest"][:12]
            record["resolved"][kind]["source_digest"] = kind * 10

    run = changed(finished_pair, tmp_path / "copy", change)
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert done.returncode == 0
    for name, kind, other in (("squares", "dataset", "datasetdatas"), ("plain", "model", "modelmodelmo")):
        assert (
            f"note: {name}: the source of the installed plugin has digest {original[kind]}, that of the run {other}:"
            " predictions may differ from those of the run"
        ) in done.stdout.splitlines()


def test_changed_weights_are_refused(tmp_path: Path, finished_pair: Finished) -> None:
    run = changed(finished_pair, tmp_path / "copy", unchanged)
    weights = run / "best.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: {weights}: missing or changed since run.json was written")
    both = predict("both", finished_pair.data, "--results", run.parents[4], into=tmp_path / "out")
    assert both.returncode == 4
    assert "found other weights than those that squares/both/default/fold0/seed0 predicted with" in both.stderr
    weights.unlink()
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert (done.returncode, "no best.safetensors in this folder" in done.stderr) == (2, True)


def test_a_run_that_is_not_done_or_whose_record_is_older_is_refused_or_named(
    tmp_path: Path, finished_pair: Finished
) -> None:
    run = changed(finished_pair, tmp_path / "a", lambda record: record.update(status="diverged", reason="nan"))
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert (done.returncode, done.stderr) == (2, f"error: {run}: this run diverged (nan); choose another run\n")
    run = changed(finished_pair, tmp_path / "b", lambda record: record.update(schema=0))
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert (done.returncode, "written by another version of benchbench" in done.stderr) == (4, True)
    run = changed(finished_pair, tmp_path / "c", lambda record: record.pop("images"))
    done = predict(run, finished_pair.data, into=tmp_path / "out")
    assert done.returncode == 0
    assert "its record has no voxel sizes and orientations of the training images" in done.stdout


def test_a_run_that_was_moved_out_of_its_results_predicts_alone(tmp_path: Path, finished_pair: Finished) -> None:
    run = changed(finished_pair, tmp_path / "copy", unchanged)
    moved = shutil.move(run, tmp_path / "moved")
    done = predict(moved, finished_pair.data, into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("predicting with squares/plain/default/fold0/seed0\n")


# real patients


@pytest.mark.real
def test_real_slices_are_predicted_by_a_network_of_phantoms_and_scored(
    tmp_path: Path, slices_run: PhantomRun
) -> None:
    (patient, *_) = sorted((REAL / "lgg/kaggle_3m").glob("TCGA_*/"))
    done = predict(slices_run.folder.path, patient, "--suffix", "_mask", into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    masks = sorted(patient.glob("*_mask.tif"))
    assert names_in(tmp_path / "out") == [path.name for path in masks]
    reference = tmp_path / "reference"
    reference.mkdir()
    for path in masks:
        shutil.copy(path, reference)
    words = ("--labels", "tumour=1,255", "--metrics", "dice")
    score = benchbench("score", reference, tmp_path / "out", *words, cwd=tmp_path)
    assert score.returncode == 0, score.stderr
    assert f"{len(masks)} cases" in score.stdout


@pytest.mark.real
@pytest.mark.slow
def test_a_real_volume_is_predicted_by_a_network_of_phantoms_and_scored(
    tmp_path: Path, volumes_run: PhantomRun
) -> None:
    (patient,) = (REAL / "brats21").glob("BraTS2021_*")
    unlabelled = tmp_path / "validation" / patient.name
    unlabelled.mkdir(parents=True)
    for part in (*BRATS_CHANNELS, "seg"):
        name = f"{patient.name}_{part}.nii.gz"
        folder = tmp_path if part == "seg" else unlabelled
        nib.save(nib.load(patient / name).slicer[88:136, 88:136, 64:104], folder / name)  # a part takes seconds
    done = predict(volumes_run.folder.path, unlabelled.parent, into=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "found voxels of 1 x 1 x 1 mm, far from the 7.5 x 7.5 x 7.5 mm" in done.stdout
    label = tmp_path / "out" / f"{patient.name}.nii.gz"
    assert set(np.unique(masks_in(label))) <= {0, 1, 2, 4}
    image = nib.load(unlabelled / f"{patient.name}_flair.nii.gz")
    np.testing.assert_array_equal(nib.load(label).affine, image.affine)
    words = ("--labels", "whole=1,2,4 core=1,4 enhancing=4", "--metrics", "dice")
    score = benchbench("score", tmp_path / f"{patient.name}_seg.nii.gz", label, *words, cwd=tmp_path)
    assert score.returncode == 0, score.stderr
    assert "1 case" in score.stdout
