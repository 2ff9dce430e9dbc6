"""The plugin and the network as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError
from benchbench.data.phantom import phantom_root
from benchbench.engine.network.network import check_output, count_parameters, forward_with_loss, geometry_for
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.protocol import Protocol
from benchbench_models.mask_dino import benchbench_models, build

SMALL: dict[str, Any] = {"backbone": "resnet18", "encoder_layers": 1, "decoder_layers": 2, "queries": 10}


def small(
    classes: int = 2, *, in_channels: int = 3, patch: tuple[int, int] = (64, 32), **changes: Any
) -> nn.Module:
    torch.manual_seed(0)
    return build(Geometry(in_channels, classes, patch), **{**SMALL, "points": 64, **changes})


def regions(count: int, *, images: int = 2, patch: tuple[int, int] = (64, 32)) -> Tensor:
    """Return nested rectangles in every image; the last image has only the first region."""
    masks = torch.zeros(images, count, *patch, dtype=torch.bool)
    for number in range(count):
        masks[: images - 1, number, 8 + 4 * number : 40, 4:20] = True
    masks[-1, 0, 30:33, 10:30] = True
    return masks


def no_loss(logits: Tensor) -> Tensor:
    raise AssertionError(f"the protocol's loss was asked for logits {tuple(logits.shape)}")


def protocol(loss: str, patch: tuple[int, int] = (64, 32)) -> Protocol:
    optimizer = {"name": "adam", "lr": 1e-3}
    return Protocol.model_validate({"patch": patch, "epochs": 1, "batch": 2, "optimizer": optimizer, "loss": loss})


def test_the_plugin_is_a_2d_model_named_mask_dino() -> None:
    (plugin,) = benchbench_models()
    assert (plugin.name, plugin.ndims) == ("mask_dino", {2})


@pytest.mark.parametrize("classes", [1, 2, 150])
def test_it_has_as_many_parameters_as_the_published_code(classes: int) -> None:
    with torch.device("meta"):
        model = build(Geometry(3, classes, (512, 512)), frozen_batch_norm=True)
    assert count_parameters(model) == 43_735_092 + 257 * (classes + 1) + 256 * classes


@pytest.mark.parametrize(
    ("classes", "options", "count"),
    [
        pytest.param(150, {"frozen_batch_norm": True}, 43_812_299, id="ADE20K"),
        pytest.param(19, {}, 43_798_216, id="Cityscapes, with trained batch normalisation"),
        pytest.param(
            80,
            {"frozen_batch_norm": True, "queries": 300, "selection": "two_stage+mask_boxes"},
            43_816_436 + 257,  # that configuration has no class of no object
            id="COCO instances of three maps",
        ),
    ],
)
def test_published_configurations_have_their_counts(classes: int, options: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = build(Geometry(3, classes, (512, 512)), **options)
    assert count_parameters(model) == count


def fill(model: nn.Module) -> None:
    """Set weights that depend on names and shapes only, and are about as large as real ones."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        places = torch.arange(tensor.numel(), dtype=torch.float64) + sum(name.encode())
        noise = places.mul(12.9898).sin().mul(43758.5453).remainder(1).sub(0.5).view(tensor.shape)
        if name.endswith("to_masks.bias"):
            noise = noise * 0
        elif "to_masks" in name:  # so that masks have both signs
            noise = noise - noise.mean(1, keepdim=True)
        if name.endswith("content.weight"):
            noise = noise * 4
        elif tensor.ndim > 1:
            noise = noise * (12 / tensor[0].numel()) ** 0.5
        elif name.endswith(("weight", "running_var")):
            noise = noise + 1
        tensor.copy_(noise)


def filled(classes: int, **changes: Any) -> nn.Module:
    model = small(classes, **changes)
    fill(model)
    if classes == 1:  # ranks places as the published code does, which has no class of no object there
        with torch.no_grad():
            model.decoder.heads.to_class.weight[-1] = 0
            model.decoder.heads.to_class.bias[-1] = -20
    return model


def published_input(classes: int) -> tuple[Tensor, Tensor]:
    """Return images and targets; the second image has only the first class."""
    images = torch.arange(2 * 3 * 64 * 32, dtype=torch.float64).pow(2).mul(0.01).sin().view(2, 3, 64, 32).float()
    targets = torch.zeros(2, classes, 64, 32, dtype=torch.bool)
    targets[0, :, 8:40, 4:20] = targets[1, 0, 30:33, 10:30] = True
    return images, targets


def fixed_points(count: int, points: int, axes: int, **_: object) -> Tensor:
    """Return points that replace random ones."""
    places = torch.arange(points * axes, dtype=torch.float64) * 0.6180339887498949 % 1
    return places.float().view(1, points, axes).repeat(count, 1, 1)


@pytest.mark.parametrize(
    ("selection", "loss", "classes", "boxes", "mask"),
    [
        pytest.param(
            "learned",
            71.16399,
            [-0.41831, -0.19095, 2.10194, -0.95047, 0.06645, 1.72856],
            [0.30097, 0.84420, 0.61856, 0.19705, 0.42485, 0.86748, 0.48707, 0.03907],
            [-5.80528, 19.46451, 11.71925, 4.92554],
            id="learned queries",
        ),
        pytest.param(
            "two_stage+mask_boxes",
            303.18777,
            [-0.97274, -20.0, -1.02856, -20.0, -0.97614, -20.0],
            [0.35511, 0.86138, 0.99999, 0.99994, 0.35946, 0.85879, 0.99999, 0.99994],
            [-4.00887, 17.20855, 10.23111, 3.55361],
            id="chosen queries with boxes of masks",
        ),
    ],
)
def test_predictions_and_loss_are_those_of_the_published_code(
    monkeypatch: pytest.MonkeyPatch, *, selection: str, loss: float, classes: list[float], boxes: list[float], mask: list[float]
) -> None:  # fmt: skip
    # measured with IDEA-Research/MaskDINO, commit 3831d85, on the same weights, images and points
    count = 2 if selection == "learned" else 1
    model = filled(count, selection=selection).eval()
    images, targets = published_input(count)
    monkeypatch.setattr(torch, "rand", fixed_points)
    with torch.no_grad():
        prediction = model.predict(images)
        value, _ = model.loss(images, targets, no_loss)
    assert prediction.classes[1].flatten()[:6].tolist() == pytest.approx(classes, abs=1e-3)
    assert prediction.boxes[1, ::4].flatten()[:8].tolist() == pytest.approx(boxes, abs=1e-4)
    assert prediction.masks[1, 3, ::5, 2].tolist() == pytest.approx(mask, abs=2e-3)
    assert value.item() == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    ("selection", "classes", "loss"),
    [("learned", 2, 147.24094), ("two_stage+mask_boxes", 1, 380.42099)],
)
def test_the_loss_with_noised_queries_is_that_of_the_published_code(
    monkeypatch: pytest.MonkeyPatch, *, selection: str, classes: int, loss: float
) -> None:
    # measured in the same way, in training with fixed statistics; all labels become the first, all boxes have one noise
    def draw(*size: Any, **_: object) -> Tensor:
        return fixed_points(*size) if len(size) == 3 else torch.full(size[0], 0.1)

    model = filled(classes, selection=selection, frozen_batch_norm=True).train()
    monkeypatch.setattr(torch, "rand", draw)
    monkeypatch.setattr(torch, "rand_like", lambda tensor: torch.full_like(tensor, 0.1))
    monkeypatch.setattr(torch, "randint_like", lambda tensor, _high: torch.zeros_like(tensor))
    with torch.no_grad():
        value, _ = model.loss(*published_input(classes), no_loss)
    assert value.item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("selection", ["learned", "two_stage", "two_stage+mask_boxes"])
@pytest.mark.parametrize(
    "geometry", [Geometry(1, 1, (64, 64)), Geometry(4, 3, (64, 96)), Geometry(5, 2, (96, 64))]
)
def test_logits_are_as_large_as_the_patch(geometry: Geometry, selection: str) -> None:
    model = build(geometry, **SMALL, selection=selection).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        logits = model(torch.rand(2, geometry.in_channels, *geometry.patch))
    assert logits.shape == (2, geometry.out_channels, *geometry.patch)
    assert logits.isfinite().all()


@pytest.mark.parametrize("selection", ["learned", "two_stage", "two_stage+mask_boxes"])
def test_the_loss_reaches_every_parameter(selection: str) -> None:
    model = small(3, selection=selection)
    loss, logits = model.loss(torch.rand(3, 3, 64, 32), regions(3, images=3), no_loss)
    loss.backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert untouched == []
    assert logits.shape == (3, 3, 64, 32)
    assert not logits.requires_grad


def test_a_batch_without_any_region_trains_only_the_classes() -> None:
    model = small(1)
    loss, _ = model.loss(torch.rand(2, 3, 64, 32), regions(1) & False, no_loss)
    loss.backward()
    assert loss.isfinite()
    assert model.decoder.heads.to_class.weight.grad.abs().sum() > 0
    assert model.decoder.heads.to_mask[0].weight.grad is None


def test_noised_queries_are_trained_only_in_training_mode() -> None:
    model, images = small(1), torch.rand(2, 3, 64, 32)
    model.eval().loss(images, regions(1), no_loss)[0].backward()
    assert model.decoder.label_content.weight.grad is None
    model.train().loss(images, regions(1), no_loss)[0].backward()
    assert model.decoder.label_content.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", ["bce+dice", "ce+dice"])
def test_the_engine_trains_with_the_loss_of_the_model_under_sigmoid_and_softmax(loss: str) -> None:
    geometry = geometry_for(protocol(loss), channels=3, regions=2)
    torch.manual_seed(0)
    model = build(geometry, **SMALL, points=64)
    (plugin,) = benchbench_models()
    check_output(plugin, model, geometry, protocol(loss))
    labels = torch.zeros(2, 64, 32, dtype=torch.uint8)
    labels[0, 8:40, 4:20], labels[1, 20:60, 10:30] = 1, 2
    value, logits = forward_with_loss(model.train(), torch.rand(2, 3, 64, 32), labels, protocol(loss), regions=2)
    assert value.isfinite()
    assert logits.shape == (2, geometry.out_channels, 64, 32)


def test_under_autocast_all_but_the_backbone_computes_in_fp32() -> None:
    model, images = small().eval(), torch.rand(1, 3, 64, 32)
    dtypes = []
    model.backbone.layer1.register_forward_hook(lambda *arguments: dtypes.append(arguments[-1].dtype))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model.predict(images)
        logits = model(images)
    assert set(dtypes) == {torch.bfloat16}
    assert {tensor.dtype for tensor in prediction} == {torch.float32}
    assert logits.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = model.loss(images, regions(2, images=1), no_loss)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("geometry", "changes", "message"),
    [
        (Geometry(3, 1, (64, 48)), {}, r"patch is \[64, 48\], expected multiples of 32"),
        (Geometry(3, 1, (64, 64)), {"queries": 0}, "queries is 0, expected at least 1"),
        (
            Geometry(3, 1, (32, 32)),
            {"queries": 22, "selection": "two_stage"},
            r"a patch of \[32, 32\] has 21 places",
        ),
        (Geometry(3, 1, (64, 64)), {"decoder_layers": 0}, "decoder_layers is 0, expected at least 1"),
        (Geometry(3, 1, (64, 64)), {"points": 0}, "points is 0, expected at least 1"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(
    geometry: Geometry, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(IncompatibleError, match=message):
        build(geometry, **{**SMALL, **changes})


@pytest.mark.slow
def test_it_overfits_eight_slices(tmp_path: Any) -> None:
    images, masks = eight_slices(tmp_path)
    model = small(1, patch=(64, 64), points=256)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    for _ in range(60):
        loss, logits = model.train().loss(images, masks, no_loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if dice(logits > 0, masks) > 0.96 and dice(predict(model, images), masks) > 0.95:
            break
    assert dice(predict(model, images), masks) > 0.95


def eight_slices(folder: Any) -> tuple[Tensor, Tensor]:
    """Return the six phantom slices with the largest lesions and two without, standardised."""
    plugin = discover(["lgg"]).dataset("lgg")
    dataset = plugin.open(phantom_root(plugin, PhantomSize(patients=4, size=64), cache=folder) / "lgg")
    cases = [dataset.load(case.id) for case in dataset.cases()]
    images = torch.from_numpy(np.concatenate([np.moveaxis(case.image, 0, 1) for case in cases])).float()
    masks = torch.from_numpy(np.concatenate([case.label > 0 for case in cases]))[:, None]
    order = masks.flatten(1).sum(1).argsort(descending=True)
    selected = torch.cat([order[:6], order[-2:]])
    return (images[selected] - images.mean()) / images.std(), masks[selected]


def predict(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        masks: Tensor = model.eval()(images) > 0
    return masks


def dice(prediction: Tensor, reference: Tensor) -> float:
    total = prediction.sum() + reference.sum()
    return float(2 * (prediction & reference).sum() / total.clamp(min=1))
