from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade_case import keep_volume
from torch import nn

from benchbench import CaseRef
from benchbench.engine.inference.predict import Ensemble, Predictor, count_case
from benchbench.engine.inference.preview import draw_preview
from benchbench.engine.network.regions import activate, activate_in_place
from benchbench.engine.preparation.frame import whole_frame
from benchbench.engine.preparation.placement import place
from benchbench.engine.preparation.prepared_case import PreparedCase, write_description
from benchbench.spec.inference import Inference
from benchbench.spec.protocol import Activation, Protocol

CPU = torch.device("cpu")


class Threshold(nn.Module):
    """The identity model: a voxel is foreground where its first channel is above one half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images[:, :1] - 0.5) * 20


class Background(nn.Module):
    """Softmax logits of three classes chosen by the image's level."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([-((images[:, :1] - level) ** 2) * 40 for level in (0.0, 0.5, 1.0)], 1)


def protocol(patch: tuple[int, int], loss: str = "bce") -> Protocol:
    optimizer = {"name": "adam", "lr": 1.0}
    return Protocol.model_validate({"patch": patch, "epochs": 1, "batch": 1, "optimizer": optimizer, "loss": loss})


def prepared(folder: Path, native: np.ndarray, patch: tuple[int, int]) -> PreparedCase:
    """A case of which image and label are the same squares, placed by hand."""
    import cv2

    placement = place(native.shape[1:], patch)
    image = np.zeros((len(native), 1, *patch), np.uint8)
    (top, left), (height, width) = placement.offset, placement.scaled
    for number, slice_ in enumerate(native):
        image[number, 0, top : top + height, left : left + width] = cv2.resize(
            slice_ * 255, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        )
    np.save(folder / "image.npy", image)
    np.save(folder / "label.npy", (image[:, 0] > 127).astype(np.uint8))
    np.save(folder / "native.npy", native)
    frame = whole_frame(native.shape, None, slice_axis="axial")
    described = {
        "arrays": ["native"],
        "frame": frame._asdict(),
        "placement": placement._asdict(),
        "affine": None,
        "spacing_mm": None,
    }
    write_description(folder, described)
    return PreparedCase(CaseRef("case", "patient"), folder)


def predict(model: nn.Module, case: PreparedCase, settings: Protocol) -> np.ndarray:
    regions = [str(number) for number in range(8)]
    predictor = Predictor([model], settings, CPU)
    return predictor.masks(case, predictor.probabilities(case), regions=regions, postprocess=None)


def squares(height: int, width: int, slices: int = 20) -> np.ndarray:
    native = np.zeros((slices, height, width), np.uint8)
    for number in range(slices):
        native[number, number : number + 8, 2:12] = 1
    return native


@pytest.mark.parametrize(
    ("native", "patch"),
    [((40, 24), (40, 24)), ((40, 24), (80, 48)), ((40, 24), (80, 80)), ((40, 24), (33, 47)), ((40, 40), (70, 40))],
)
def test_the_identity_model_returns_the_label_on_the_own_grid_of_the_case(
    tmp_path: Path, native: tuple[int, int], patch: tuple[int, int]
) -> None:
    reference = squares(*native)
    case = prepared(tmp_path, reference, patch)
    masks = predict(Threshold(), case, protocol(patch))
    assert masks.shape == (20, 1, *native)
    tp, fp, fn, _ = count_case(case, masks).sum((0, 1))
    exact = all(size % side == 0 for size, side in zip(patch, native, strict=True)) or native == patch
    assert 2 * tp / (2 * tp + fp + fn) >= (1.0 if exact and patch[0] / native[0] == patch[1] / native[1] else 0.85)


class Probable(nn.Module):
    """Gives a probability of 0.2 where the image is black and of 0.6 where it is white."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.logit(0.2 + 0.4 * images[:, :1])


def test_probabilities_are_resized_back_with_aligned_pixel_centres(tmp_path: Path) -> None:
    case = prepared(tmp_path, np.zeros((1, 4, 4), np.uint8), (2, 2))
    np.save(tmp_path / "image.npy", np.array([[[[0, 255], [0, 255]]]], np.uint8))
    probabilities = Predictor([Probable()], protocol((2, 2)), CPU).probabilities(case)
    # at twice the size the two middle pixels are at 1/4 and 3/4 of the way between the two centres
    assert probabilities[0, 0].tolist() == [pytest.approx([0.2, 0.3, 0.5, 0.6])] * 4


def test_counts_are_by_slice_on_the_native_grid(tmp_path: Path) -> None:
    reference = squares(40, 24)
    case = prepared(tmp_path, reference, (40, 24))
    masks = np.zeros((20, 1, 40, 24), bool)
    masks[:, 0, 0] = True
    counts = count_case(case, masks)
    assert counts.shape == (20, 1, 4)
    assert counts[0, 0].tolist() == [10, 14, 70, 866]
    assert counts[5, 0].tolist() == [0, 24, 80, 856]
    assert (counts.sum(-1) == 40 * 24).all()


def test_softmax_predictions_leave_background_out(tmp_path: Path) -> None:
    case = prepared(tmp_path, squares(32, 32), (32, 32))
    masks = predict(Background(), case, protocol((32, 32), "ce"))
    assert masks.shape == (20, 2, 32, 32)
    assert not masks[:, 0].any()
    assert np.array_equal(masks[:, 1], squares(32, 32) > 0)


def test_a_prediction_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    case = prepared(tmp_path, squares(32, 32), (32, 32))
    whole = predict(model, case, protocol((32, 32)))
    (tmp_path / "one").mkdir()
    one = prepared(tmp_path / "one", squares(32, 32)[17:18], (32, 32))
    assert np.array_equal(predict(model, one, protocol((32, 32)))[0], whole[17])


def test_a_preview_shows_image_reference_and_prediction_side_by_side(tmp_path: Path) -> None:
    import cv2

    case = prepared(tmp_path, squares(40, 24), (80, 48))
    masks = np.zeros((20, 1, 40, 24), bool)
    picture = cv2.imdecode(np.frombuffer(draw_preview(case, masks), np.uint8), cv2.IMREAD_COLOR)
    # eight times as large, so that a panel is about 200 pixels wide
    assert picture.shape == (320, 3 * 192 + 2 * 4, 3)
    plain, outlined, empty = (picture[:, start : start + 192] for start in (0, 196, 392))
    assert not np.array_equal(plain, outlined)
    assert np.array_equal(plain, empty)


class Ramp(nn.Module):
    """Logits that depend on where in the window a voxel is, so that a mirror image gives others."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1] + self.weight * torch.linspace(-2, 2, images.shape[-1])


class Sure(nn.Module):
    """One of three classes everywhere, with a given probability; the other two share the rest."""

    def __init__(self, chosen: int, probability: float) -> None:
        super().__init__()
        self.probabilities = torch.full((3,), (1 - probability) / 2)
        self.probabilities[chosen] = probability

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.probabilities.log().view(1, 3, 1, 1).expand(len(images), 3, *images.shape[2:])


def volume(folder: Path, **inference: Any) -> tuple[PreparedCase, Protocol, torch.Tensor]:
    """A case of one window, how it is predicted, and its image (1, 1, D, H, W)."""
    image = np.random.default_rng(0).standard_normal((1, 3, 4, 6)).astype(np.float16)
    fields = {"ndim": 3, "patch": (3, 4, 6), "epochs": 1, "batch": 1, "loss": "bce", "inference": inference}
    settings = Protocol.model_validate({**fields, "optimizer": {"name": "adam", "lr": 1.0}})
    case = keep_volume(folder, image, (image[0] > 0).astype(np.uint8))
    return case, settings, torch.from_numpy(image).float()[None]


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_flips_and_checkpoints_are_averaged_under_the_protocol(tmp_path: Path, average: str) -> None:
    case, settings, image = volume(tmp_path, flips=True, average=average)
    models = [Ramp(1.0), Ramp(3.0)]
    mean = Predictor(models, settings, CPU).probabilities(case)
    # only the flip of the last axis changes a ramp, and it turns it round
    logits = torch.stack([image + sign * model(image * 0) for model in models for sign in (1, -1)])
    expected = logits.sigmoid().mean(0) if average == "probabilities" else logits.mean(0).sigmoid()
    assert torch.allclose(mean, expected[0], atol=1e-5)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_an_ensemble_is_the_mean_of_its_members_however_many_checkpoints_each_has(
    tmp_path: Path, average: str
) -> None:
    case, settings, image = volume(tmp_path, average=average)
    mean = Ensemble(
        [Predictor([Ramp(1.0), Ramp(1.0)], settings, CPU), Predictor([Ramp(3.0)], settings, CPU)]
    ).probabilities(case)
    expected = (Ramp(1.0)(image).sigmoid() + Ramp(3.0)(image).sigmoid()) / 2
    assert torch.allclose(mean, expected[0], atol=1e-5)


def test_an_ensemble_with_a_softmax_takes_the_most_probable_class_of_the_mean(tmp_path: Path) -> None:
    case, settings = prepared(tmp_path, squares(32, 32), (32, 32)), protocol((32, 32), "ce")
    members = [Predictor([model], settings, CPU) for model in (Sure(1, 0.9), Sure(2, 0.6))]
    ensemble = Ensemble(members)
    probabilities = ensemble.probabilities(case)
    # 0.05 0.90 0.05 and 0.2 0.2 0.6
    assert probabilities[:, 0, 0, 0].tolist() == pytest.approx([0.125, 0.55, 0.325], abs=1e-5)
    masks = ensemble.masks(case, probabilities, regions=("a", "b"), postprocess=None)
    assert masks[:, 0].all()
    assert not masks[:, 1].any()


def test_without_flips_a_window_is_predicted_as_it_is(tmp_path: Path) -> None:
    case, settings, image = volume(tmp_path)
    assert torch.allclose(
        Predictor([Ramp()], settings, CPU).probabilities(case), Ramp()(image).sigmoid()[0], atol=1e-5
    )


def test_slices_are_flipped_along_both_axes(tmp_path: Path) -> None:
    case = prepared(tmp_path, squares(32, 32), (32, 32))
    settings = protocol((32, 32)).model_copy(update={"inference": Inference(flips=True)})
    image = torch.from_numpy(case.image()).float() / 255
    expected = torch.stack([(image + sign * Ramp()(image * 0)).sigmoid() for sign in (1, -1)]).mean(0)
    assert torch.allclose(
        Predictor([Ramp()], settings, CPU).probabilities(case), expected.transpose(0, 1), atol=1e-5
    )


class Counted(nn.Module):
    """Counts the images that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.images += len(images)
        return images[:, :1] * 1.0


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("kind", ["slices", "windows"])
def test_every_pass_of_a_case_through_a_network_is_counted(tmp_path: Path, kind: str, *, flips: bool) -> None:
    if kind == "slices":
        case, settings = prepared(tmp_path, squares(32, 32), (32, 32)), protocol((32, 32))
    else:
        label = np.ones((5, 11, 9), np.uint8)
        case = keep_volume(tmp_path, label[None].astype(np.float16), label)
        settings = protocol((32, 32)).model_copy(update={"ndim": 3, "patch": (8, 4, 4)})
    settings = settings.model_copy(update={"inference": Inference(flips=flips)})
    models = [Counted(), Counted()]
    predictor = Predictor(models, settings, CPU)
    predictor.probabilities(case)
    assert predictor.passes(case) == sum(model.images for model in models) > 2


def test_a_predictor_uses_its_memory_for_one_case_after_another(tmp_path: Path) -> None:
    (case, settings, _), (other, _, _) = volume(tmp_path / "a"), volume(tmp_path / "b")
    predictor = Predictor([Ramp()], settings, CPU)
    first = predictor.probabilities(case)
    expected = first.clone()
    assert predictor.probabilities(other).data_ptr() == first.data_ptr()
    assert torch.equal(predictor.probabilities(case), expected)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_probabilities_written_over_the_logits_have_the_same_bits(activation: Activation) -> None:
    logits = torch.randn(1, 3, 5, 7, 6, generator=torch.Generator().manual_seed(0))
    expected = activate(logits.clone(), activation)
    written = activate_in_place(logits, activation)
    assert torch.equal(written, expected)
    assert written.data_ptr() == logits.data_ptr()
