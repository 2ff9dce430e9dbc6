"""Protocols with a voxel size, CT intensities, crops of slices and neighbouring slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchbench import Case, DataError, Task
from benchbench.contract import CaseRef
from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.pictures import planes_through, reference_masks, render_plane
from benchbench.engine.inference.predict import Predictor, count_case, resized_reference
from benchbench.engine.network.network import geometry_for
from benchbench.engine.preparation.prepare import preparation_settings, prepare_arrays, write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.preparation.statistics import (
    NO_STATISTICS,
    CaseMeasures,
    Statistics,
    anisotropic_spacing,
    measure_case,
    read_statistics,
    training_statistics,
)
from benchbench.engine.training.validate import validate
from benchbench.spec.protocol import Protocol

TASK = Task(channels=("ct",), regions={"organ": (1, 2), "core": (2,)})


def protocol(**changes: object) -> Protocol:
    fields = {
        "ndim": 3,
        "patch": (8, 8, 8),
        "epochs": 1,
        "batch": 2,
        "loss": "bce+dice",
        "optimizer": {"name": "adam", "lr": 0.1},
        "precision": "fp32",
        **changes,
    }
    return Protocol.model_validate(fields)


def slices(**changes: object) -> Protocol:
    return protocol(**{"ndim": 2, "patch": (8, 8), "resize": "spacing", **changes})


def case(*, spacing: tuple[float, ...] | None = (2.0, 1.0, 1.0), offset: float = 0.0) -> Case:
    rows, columns = np.ogrid[:16, :20]
    disc = (np.hypot(rows - 8, columns - 10) < 6).astype(np.uint8)
    core = (np.hypot(rows - 8, columns - 10) < 3).astype(np.uint8)
    label = np.stack([disc + core] * 6)
    image = (label * 100.0 + offset + np.arange(6)[:, None, None])[None].astype(np.float32)
    return Case(image=image, label=label, affine=None, spacing_mm=spacing)


def prepared(
    folder: Path, protocol: Protocol, statistics: Statistics = NO_STATISTICS, **changes: object
) -> PreparedCase:
    write_prepared(case(**changes), TASK, protocol, folder, statistics=statistics)  # type: ignore[arg-type]
    return PreparedCase(CaseRef(folder.name, folder.name), folder)


class Brightness(nn.Module):
    """Logits of both regions from the brightness, which is 0, 1/2 or 1 (unit)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        centre = images[:, images.shape[1] // 2]
        return torch.stack([centre - 0.3, centre - 0.7], 1) * 100


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (protocol(spacing=(1.0, 1.0, 1.0)), (12, 16, 20)),
        (protocol(spacing=(2.0, 2.0, 2.0)), (6, 8, 10)),
        (slices(spacing=(2.0, 0.5)), (6, 8, 40)),
        (slices(), (6, 16, 20)),
        (slices(patch=(8, 32), context=1), (6, 16, 20)),
    ],
)
def test_a_prediction_is_scored_on_the_grid_of_the_case(
    settings: Protocol, size: tuple[int, ...], tmp_path: Path
) -> None:
    of_case = prepared(tmp_path / "a", settings)
    assert of_case.space == size
    assert of_case.label().shape == size
    assert of_case.native_label().shape == (6, 16, 20)
    predictor = Predictor([Brightness()], settings, torch.device("cpu"))
    probabilities = predictor.probabilities(of_case)
    assert probabilities.shape == (2, 6, 16, 20)
    masks = predictor.masks(of_case, probabilities, regions=("organ", "core"), postprocess=None)
    tp, fp, fn, _ = count_case(of_case, masks).sum(0).T
    assert (2 * tp / (2 * tp + fp + fn) > 0.8).all()
    assert predictor.passes(of_case) > 0


def test_the_reference_loses_what_resampling_costs(tmp_path: Path) -> None:
    dice = {}
    for name, spacing in (("same", (2.0, 1.0, 1.0)), ("coarse", (2.0, 2.0, 2.0))):
        of_case = prepared(tmp_path / name, protocol(spacing=spacing))
        counts = count_case(of_case, resized_reference(of_case, protocol(spacing=spacing), regions=2)).sum((0, 1))
        dice[name] = 2 * counts[0] / (2 * counts[0] + counts[1] + counts[2])
        assert of_case.is_resized is (name == "coarse")
    assert dice["same"] == 1
    assert 0.9 < dice["coarse"] < 1


def test_pictures_show_the_case_on_its_own_grid(tmp_path: Path) -> None:
    for name, settings in (("volume", protocol(spacing=(1.0, 2.0, 2.0))), ("slices", slices(spacing=(2.0, 2.0)))):
        of_case = prepared(tmp_path / name, settings)
        first = planes_through(of_case, reference_masks(of_case, regions=2))[0]
        assert render_plane(of_case, first).shape == (16, 20, 3)


def test_a_case_without_voxel_size_cannot_be_resampled() -> None:
    with pytest.raises(DataError, match=r"found no voxel size, which protocol\.spacing needs; give spacing_mm"):
        prepare_arrays(case(spacing=None), TASK, protocol(spacing=(1.0, 1.0, 1.0)))
    measures = {"a": measure_case(case(spacing=None), TASK, protocol(spacing="median"))}
    with pytest.raises(DataError, match="a: found no voxel size"):
        training_statistics(measures, protocol(spacing="median"))


def measures(spacing: tuple[float, ...], shape: tuple[int, ...]) -> CaseMeasures:
    return CaseMeasures(spacing, shape, np.zeros((1, 0), np.float32))


def test_the_median_spacing_is_that_of_the_training_cases() -> None:
    cases = {
        "a": measures((1, 1, 1), (9, 9, 9)),
        "b": measures((2, 1.5, 1), (9, 9, 9)),
        "c": measures((4, 3, 1), (9, 9, 9)),
    }
    assert training_statistics(cases, protocol(spacing="median")).spacing_mm == (2, 1.5, 1)
    assert training_statistics(cases, slices(spacing="median")).spacing_mm == (1.5, 1)


def test_an_anisotropic_axis_gets_its_tenth_percentile_by_nnunets_rule() -> None:
    spacings = [(float(number), 1.0, 1.0) for number in range(2, 13)]  # 2 to 12: median 7, 10th percentile 3
    assert anisotropic_spacing(spacings, [(20, 100, 100)] * 11) == (3, 1, 1)
    # not fewer voxels by a factor of more than three: the median stays
    assert anisotropic_spacing(spacings, [(40, 100, 100)] * 11) == (7, 1, 1)
    # never finer than the other axes
    fine = [(0.5, 1.0, 1.0)] * 3 + [(8.0, 1.0, 1.0)] * 8
    assert anisotropic_spacing(fine, [(20, 100, 100)] * 11) == (1 + 1e-5, 1, 1)
    # the median is not much coarser
    assert anisotropic_spacing([(2.9, 1.0, 1.0)], [(20, 100, 100)]) == (2.9, 1, 1)


def test_ct_intensities_are_clipped_and_standardised_by_labelled_voxels_of_the_training_part() -> None:
    settings = protocol(intensity="ct")
    by_case = {"a": measure_case(case(), TASK, settings), "b": measure_case(case(offset=50), TASK, settings)}
    values = np.concatenate([of_case.image[0][of_case.label > 0] for of_case in (case(), case(offset=50))])
    statistics = training_statistics(by_case, settings)
    (channel,) = statistics.intensities
    assert channel == pytest.approx((*np.percentile(values, [0.5, 99.5]), values.mean(), values.std()))
    prepared_image = prepare_arrays(case(), TASK, settings, statistics).arrays["image"][0].astype(np.float32)
    expected = (case().image[0].clip(channel.low, channel.high) - channel.mean) / channel.sd
    assert np.abs(prepared_image - expected).max() < 2e-3
    assert read_statistics({"spacing_mm": None, "intensities": [[*channel]]}) == statistics
    unlabelled = {"a": CaseMeasures((1, 1, 1), (1, 1, 1), np.zeros((1, 0), np.float32))}
    with pytest.raises(DataError, match="no labelled voxel in the training part"):
        training_statistics(unlabelled, settings)


def test_a_window_is_clipped_and_scaled_to_0_and_1() -> None:
    image = np.array([-1000, -160, 40, 240, 3000], np.int16).reshape(1, 1, 1, 5)
    stored = Case(image=image, label=np.zeros((1, 1, 5), np.uint8), affine=None, spacing_mm=None)
    arrays = prepare_arrays(stored, TASK, protocol(window=(-160.0, 240.0))).arrays
    assert arrays["image"].ravel().tolist() == [0, 0, 0.5, 1, 1]
    bytes_ = Case(image=image.clip(0, 255).astype(np.uint8), label=stored.label, affine=None, spacing_mm=None)
    arrays = prepare_arrays(bytes_, TASK, protocol(window=(0.0, 80.0))).arrays
    assert arrays["image"].ravel().tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("context", [0, 1])
def test_crops_of_slices_have_the_size_of_the_patch_and_a_labelled_pixel(context: int, tmp_path: Path) -> None:
    settings = slices(patch=(4, 8), oversample_foreground=1.0, context=context)
    source = open_source([prepared(tmp_path / "a", settings)], settings, device=torch.device("cpu"))
    assert len(source) == 6
    images, labels = source.batch(torch.arange(6).repeat(4), generator=torch.Generator().manual_seed(0))
    assert images.shape == (24, 1 + 2 * context, 4, 8)
    assert labels.shape == (24, 4, 8)
    assert (labels > 0).flatten(1).any(1).all()
    assert len({tuple(label.flatten().tolist()) for label in labels}) > 1


def test_neighbouring_slices_are_channels_and_the_ends_are_repeated(tmp_path: Path) -> None:
    settings = protocol(ndim=2, patch=(16, 20), context=2, intensity="zscore")
    of_case = prepared(tmp_path / "a", settings)
    images, _ = open_source([of_case], settings, device=torch.device("cpu")).batch(
        torch.tensor([1]), generator=None
    )
    stack = of_case.image()[:, 0].astype(np.float32)
    assert np.array_equal(images[0].numpy(), stack[[0, 0, 1, 2, 3]])
    assert geometry_for(settings, channels=3, regions=2).in_channels == 15


@pytest.mark.parametrize("loss", ["bce+dice", {"name": "bce+dice", "per_image": True}])
def test_large_slices_are_validated_whole(loss: object, tmp_path: Path) -> None:
    settings = slices(loss=loss)
    source = open_source(
        [prepared(tmp_path / name, settings) for name in "ab"], settings, device=torch.device("cpu")
    )
    validation = validate(Brightness(), source, settings, regions=2)
    assert validation.counts.shape == (2, 2, 4)
    assert validation.counts[0, 0].tolist() == [
        6 * int((case().label[0] > 0).sum()),
        0,
        0,
        6 * int((case().label[0] == 0).sum()),
    ]
    assert validation.loss < 0.2


def test_settings_of_protocols_without_the_new_fields_stay() -> None:
    assert not {"spacing", "resize", "window", "context", "resampling", "label_resampling"} & set(
        protocol().settings()
    )
    assert set(preparation_settings(protocol())) == {"ndim", "crop", "intensity", "one_hot_foreground"}
    assert slices(spacing="median").settings()["spacing"] == "median"
    assert preparation_settings(slices(spacing=(1.0, 2.0)))["spacing"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacing": (1.0, 1.0)}, "spacing has 2 numbers, expected 3"),
        ({"ndim": 2, "patch": (8, 8), "spacing": "median"}, 'spacing has no effect with resize = "fit"'),
        ({"ndim": 2, "patch": (8, 8), "resize": "spacing", "spacing": "anisotropic"}, "is for ndim = 3"),
        ({"context": 1}, "context is for ndim = 2"),
        ({"resize": "spacing"}, "resize is for ndim = 2"),
        ({"window": (1.0, 0.0)}, r"window: found \[1, 0\]"),
        ({"window": (0.0, 1.0), "intensity": "ct"}, 'window and intensity = "ct" both clip'),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol(**changes)


CT = ("protocol.intensity=ct", "protocol.epochs=1", "protocol.folds=2")


def recorded_statistics(root: Path) -> dict[int, object]:
    from benchbench.records.run_folder import RunFolder

    records = [RunFolder(path.parent).read_record() for path in (root / "results").rglob("run.json")]
    return {record.fold: record.images["statistics"] for record in records if record is not None}


def test_each_fold_takes_its_values_from_its_training_part_alone(
    benchmark_file: Path, squares: Path, tmp_path: Path, without_report: None
) -> None:
    """Fold 0 tests two patients; with other voxels there its values stay, and those of fold 1, which trains on them, change."""
    from carry import carry

    from benchbench.data.folds import make_folds

    carry(benchmark_file, squares, tmp_path / "before", *CT)
    before = recorded_statistics(tmp_path / "before")
    assert before[0] != before[1]
    names = sorted(path.stem for path in (squares / "squares").glob("*.npz"))
    folds = make_folds([CaseRef(name, name.split("-")[0]) for name in names], folds=2, validation=0.2)
    for tested in (*folds[0].test, *folds[0].validation):
        path = squares / "squares" / f"{tested.id}.npz"
        with np.load(path) as stored:
            image, label = stored["image"], stored["label"]
        np.savez(path, image=(image // 2 + 3).astype(np.uint8), label=label)
    carry(benchmark_file, squares, tmp_path / "after", *CT)
    after = recorded_statistics(tmp_path / "after")
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_new_images_are_prepared_by_the_values_of_each_fold(
    benchmark_file: Path, squares: Path, tmp_path: Path, without_report: None
) -> None:
    from carry import carry
    from commands import benchbench

    carry(benchmark_file, squares, tmp_path, *CT)
    words = [
        "predict",
        "plain",
        squares / "squares",
        "--results",
        tmp_path / "results/squares",
        "--into",
        "labels",
    ]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len([*(tmp_path / "labels").iterdir()]) == 4
