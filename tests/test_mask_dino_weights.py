"""Published checkpoints: the names of their tensors, their conversion, and those that do not fit."""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from benchbench import DataError, DataNotFoundError, Geometry, IncompatibleError
from benchbench.cli import cli
from benchbench_models.mask_dino import build, convert
from benchbench_models.mask_dino.layout import parameter_name, translate
from benchbench_models.mask_dino.scores import SCORE_RULES

SMALL: dict[str, Any] = {
    "backbone": "resnet18", "encoder_layers": 1, "decoder_layers": 2, "queries": 4, "points": 16,
    "frozen_batch_norm": True,
}  # fmt: skip
GEOMETRY = Geometry(3, 2, (64, 64))


@pytest.fixture(autouse=True)
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


NORM, LINEAR = ("weight", "bias", "running_mean", "running_var"), ("weight", "bias")
DEFORMABLE = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")


def suffixed(prefix: str, parts: Iterable[str], endings: Iterable[str] = LINEAR) -> list[str]:
    return [f"{prefix}.{part}.{ending}" for part, ending in itertools.product(parts, endings)]


def backbone_names(stages: tuple[int, ...]) -> list[str]:
    """Return the keys of a ResNet; `stages` are the numbers of its blocks."""
    has_bottleneck = stages != (2, 2, 2, 2)
    names = ["backbone.stem.conv1.weight", *suffixed("backbone.stem.conv1", ["norm"], NORM)]
    for stage, blocks in enumerate(stages, start=2):
        for block in range(blocks):
            layers = ["conv1", "conv2"]
            if has_bottleneck:
                layers.append("conv3")
            if block == 0 and (has_bottleneck or stage > 2):
                layers.append("shortcut")
            for layer in layers:
                prefix = f"backbone.res{stage}.{block}.{layer}"
                names += [f"{prefix}.weight", *suffixed(prefix, ["norm"], NORM)]
    return names


def pixel_decoder_names(layers: int) -> list[str]:
    prefix = "sem_seg_head.pixel_decoder"
    names = [f"{prefix}.transformer.level_embed", *suffixed(prefix, ["mask_features"])]
    for level in range(3):
        names += suffixed(f"{prefix}.input_proj.{level}", ["0", "1"])
    for layer in range(layers):
        layer_prefix = f"{prefix}.transformer.encoder.layers.{layer}"
        names += suffixed(f"{layer_prefix}.self_attn", DEFORMABLE)
        names += suffixed(layer_prefix, ["norm1", "linear1", "linear2", "norm2"])
    return names + suffixed(prefix, ["adapter_1", "layer_1"], ["weight", "norm.weight", "norm.bias"])


def predictor_names(layers: int) -> list[str]:
    prefix = "sem_seg_head.predictor"
    names = suffixed(prefix, ["query_feat", "query_embed", "label_enc"], ["weight"])
    names += suffixed(prefix, ["class_embed", "decoder_norm", "decoder.norm"])
    depths = {"mask_embed": 3, "_bbox_embed": 3, "decoder.ref_point_head": 2}
    for layer in range(layers):
        layer_prefix = f"{prefix}.decoder.layers.{layer}"
        names += suffixed(f"{layer_prefix}.cross_attn", DEFORMABLE)
        names += suffixed(layer_prefix, ["self_attn.out_proj", "norm1", "norm2", "norm3", "linear1", "linear2"])
        names += [f"{layer_prefix}.self_attn.in_proj_{ending}" for ending in LINEAR]
        depths |= {f"bbox_embed.{layer}": 3, f"decoder.bbox_embed.{layer}": 3}
    for name, depth in depths.items():
        names += suffixed(f"{prefix}.{name}.layers", [str(number) for number in range(depth)])
    return names


def published_names(*, stages: tuple[int, ...], encoder_layers: int, decoder_layers: int) -> list[str]:
    """Return the keys of a checkpoint of detectron2, written down from its modules."""
    return [
        *backbone_names(stages),
        *pixel_decoder_names(encoder_layers),
        *predictor_names(decoder_layers),
        "criterion.empty_weight",
    ]


SMALL_NAMES = published_names(stages=(2, 2, 2, 2), encoder_layers=1, decoder_layers=2)


def published(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint of this model."""
    parameters = model.state_dict()
    tensors = {"criterion.empty_weight": torch.ones(3)}
    for name in SMALL_NAMES:
        parameter = parameter_name(name)
        if parameter is not None:
            tensors[name] = parameters[parameter]
    return tensors


def checkpoint(path: Path, tensors: dict[str, Any]) -> Path:
    torch.save({"model": tensors, "iteration": 159999}, path)
    return path


def test_there_are_as_many_names_as_in_the_checkpoint_of_ade20k() -> None:
    assert len(published_names(stages=(3, 4, 6, 3), encoder_layers=6, decoder_layers=9)) == 714


@pytest.mark.parametrize(
    ("options", "names"),
    [
        pytest.param({"frozen_batch_norm": True}, {"stages": (3, 4, 6, 3), "encoder_layers": 6, "decoder_layers": 9}, id="resnet50"),
        pytest.param(SMALL, {"stages": (2, 2, 2, 2), "encoder_layers": 1, "decoder_layers": 2}, id="resnet18"),
    ],
)  # fmt: skip
def test_every_published_name_has_a_tensor_here_and_every_tensor_a_name(options: Any, names: Any) -> None:
    with torch.device("meta"):
        model = build(GEOMETRY, **options)
    assert {parameter_name(name) for name in published_names(**names)} - {None} == set(model.state_dict())


def test_no_two_tensors_of_the_state_share_their_memory(tmp_path: Path) -> None:
    model = build(GEOMETRY, **SMALL)
    save_file(model.state_dict(), tmp_path / "all.safetensors")  # refuses shared memory


def enlarge(masks: np.ndarray, size: int) -> np.ndarray:
    """Return masks (Q, H, W) resized linearly, pixels being squares: `align_corners` is false."""
    for axis in (1, 2):
        before = masks.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * before / size - 0.5, 0, before - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, before - 1)
        share = (place - low).reshape([-1 if number == axis else 1 for number in range(3)])
        masks = masks.take(low, axis) * (1 - share) + masks.take(high, axis) * share
    return masks


@pytest.mark.slow
def test_a_converted_checkpoint_gives_the_published_segmentation(tmp_path: Path) -> None:
    geometry = Geometry(3, 5, (64, 64))
    torch.manual_seed(0)
    model = build(geometry, **SMALL)
    with torch.no_grad():  # masks and classes that differ between queries
        model.decoder.heads.to_class.weight.mul_(60)
        model.decoder.heads.to_mask[-1].weight.mul_(20)
    name = convert(checkpoint(tmp_path / "a.pth", published(model)))
    converted = build(geometry, **SMALL, weights=name).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        logits = converted(images)[0].numpy()
        classes, _, masks = (part[0].double().numpy() for part in converted.predict(images))
    # as the published code: softmax, the last class left out; sigmoid of the enlarged masks; sum over queries
    shares = np.exp(classes) / np.exp(classes).sum(1, keepdims=True)
    inside = 1 / (1 + np.exp(-enlarge(masks, 64)))
    scores = np.einsum("qc,qhw->chw", shares[:, :-1], inside)
    segmentation = scores.argmax(0)
    assert len(np.unique(segmentation)) > 1, "the made-up weights have something to tell apart"
    highest, second = np.sort(scores, 0)[:-3:-1]
    is_certain = highest - second > 1e-5 * highest  # single precision cannot tell equal scores apart
    assert is_certain.mean() > 0.99
    assert (logits.argmax(0) == segmentation)[is_certain].all()
    np.testing.assert_allclose(logits, np.log(2 * np.maximum(scores, 1e-12)), atol=1e-2)
    asked = build(geometry, **SMALL, weights=name, scores="probability").eval()
    with torch.no_grad():
        assert not np.allclose(asked(images)[0].numpy(), logits)


def test_a_network_without_published_weights_gives_probabilities() -> None:
    for options, rule in (({}, "probability"), ({"scores": "published"}, "published")):
        assert build(GEOMETRY, **SMALL, **options).pixel_logits is SCORE_RULES[rule]


def test_a_converted_checkpoint_gives_the_same_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(GEOMETRY, **SMALL, scores="published").eval()
    name = convert(checkpoint(tmp_path / "mask dino-v0.1.pth", published(model)))
    assert name.startswith("mask_dino_v0.1-")
    torch.manual_seed(1)
    other = build(GEOMETRY, **SMALL, weights=name).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), other(images))
    assert other.pretrained == name


def test_trained_batch_normalisation_starts_from_frozen_one(tmp_path: Path) -> None:
    model = build(GEOMETRY, **SMALL)
    model.backbone.bn1.running_mean.fill_(0.5)
    name = convert(checkpoint(tmp_path / "a.pth", published(model)))
    trained = build(GEOMETRY, **{**SMALL, "frozen_batch_norm": False}, weights=name)
    assert trained.backbone.bn1.running_mean.eq(0.5).all()


def test_heads_of_other_classes_and_a_stem_of_other_channels_are_not_loaded_and_are_named(tmp_path: Path) -> None:
    model = build(GEOMETRY, **SMALL)
    name = convert(checkpoint(tmp_path / "a.pth", published(model)))
    other = build(Geometry(4, 3, (64, 64)), **SMALL, weights=name)
    assert other.pretrained == (
        f"{name}, but for decoder.heads.to_class.weight, decoder.heads.to_class.bias, decoder.label_content.weight,"
        " backbone.conv1.weight"
    )
    assert torch.equal(other.backbone.layer1[0].conv1.weight, model.backbone.layer1[0].conv1.weight)


def test_the_name_depends_on_the_content(tmp_path: Path, weights_folder: Path) -> None:
    tensors = published(build(GEOMETRY, **SMALL))
    (tmp_path / "other").mkdir()
    first = convert(checkpoint(tmp_path / "a.pth", tensors))
    assert convert(checkpoint(tmp_path / "other" / "a.pth", tensors)) == first
    tensors["backbone.stem.conv1.weight"] = tensors["backbone.stem.conv1.weight"] + 1
    assert convert(checkpoint(tmp_path / "a.pth", tensors)) != first
    assert {file.suffix for file in weights_folder.iterdir()} == {".safetensors"}


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, weights_folder: Path) -> None:
    name = convert(checkpoint(tmp_path / "a.pth", published(build(GEOMETRY, **SMALL))))
    file = weights_folder / f"{name}.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    with pytest.raises(DataError, match="have content with the digits"):
        build(GEOMETRY, **SMALL, weights=name)


def test_the_error_of_weights_that_were_never_converted_names_the_command() -> None:
    with pytest.raises(
        DataNotFoundError, match="not on this machine; make them with 'benchbench convert mask_dino"
    ):
        build(GEOMETRY, **SMALL, weights="maskdino_r50-0123abcd")


@pytest.mark.parametrize("name", ["maskdino.pth", "../secret-0123abcd", "/etc/passwd", "a-0123abcg"])
def test_a_path_is_not_accepted_as_a_name_of_weights(name: str) -> None:
    with pytest.raises(IncompatibleError, match="expected a name that ends in"):
        build(GEOMETRY, **SMALL, weights=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_layers": 3}, r"no decoder\.layers\.2\.\S+, expected"),
        ({"queries": 7}, r"decoder\.start\.anchors\.weight \[4, 4\], expected \[7, 4\]"),
        pytest.param({"backbone": "resnet34"}, r"no backbone\.layer1\.2\.\S+, expected", marks=pytest.mark.slow),
        pytest.param(
            {"selection": "two_stage"},
            r"decoder\.start\.anchors\.weight \[4, 4\], expected none",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_weights_of_another_architecture_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    name = convert(checkpoint(tmp_path / "a.pth", published(build(GEOMETRY, **SMALL))))
    with pytest.raises(IncompatibleError, match=message) as caught:
        build(GEOMETRY, **{**SMALL, **changes}, weights=name)
    assert str(caught.value).count("\n") == 0


class Payload:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("it ran",)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = checkpoint(tmp_path / "evil.pth", {"weight": Payload()})
    with pytest.raises(DataError, match=r"evil\.pth: found objects that could run code"):
        convert(file)
    assert not (tmp_path / "it ran").exists()
    with file.open("rb"), pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"gone\.pth: not found"):
        convert(tmp_path / "gone.pth")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text.pth"
    file.write_text("not a checkpoint")
    with pytest.raises(DataError, match=r"text\.pth: found .*, expected .*; download it again"):
        convert(file)
    for content in (
        [torch.ones(2)],
        {},
        {"model": {}},
        {"model": None},
        {1: torch.ones(2)},
        {"a": 1},
        torch.ones(2),
    ):
        torch.save(content, file)
        with pytest.raises(DataError, match=r"text\.pth: found no tensors by name, nor any under 'model'"):
            convert(file)


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_damage_is_one_line_without_the_advice_of_torch(tmp_path: Path, place: float) -> None:
    tensors = {
        "backbone.stem.conv1.weight": torch.ones(2, 3, 7, 7),
        "sem_seg_head.predictor.query_feat.weight": torch.ones(3),
    }
    file = checkpoint(tmp_path / "a.pth", tensors)
    whole = file.read_bytes()
    damaged = bytearray(whole)
    at = int(place * len(whole))
    damaged[at : at + 40] = bytes(range(200, 240))
    for content in (whole[:at], damaged, whole[at:]):
        file.write_bytes(content)
        with pytest.raises(DataError) as caught:
            convert(file)
        for problem in caught.value.problems:
            assert problem.startswith(f"{file}: found ")
            assert "\n" not in problem
            assert "weights_only" not in problem


def test_a_part_of_a_checkpoint_is_refused_with_the_missing_part(tmp_path: Path) -> None:
    tensors = published(build(GEOMETRY, **SMALL))
    part = {name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}
    with pytest.raises(DataError, match=r"a\.pth: found no tensor 'backbone\.\*', expected the whole network"):
        convert(checkpoint(tmp_path / "a.pth", part))


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(DataError, match=r"'conv1\.weight' is no tensor of Mask DINO"):
        translate({"conv1.weight": torch.ones(1)})


def test_two_names_of_one_tensor_must_agree() -> None:
    tensors = published(build(GEOMETRY, **SMALL))
    tensors["sem_seg_head.predictor.decoder.bbox_embed.1.layers.2.bias"] = torch.ones(4)
    with pytest.raises(DataError, match=r"bbox_embed\.1\.layers\.2\.bias' differs from another name"):
        translate(tensors)


def test_the_command_prints_the_name(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "a.pth", published(build(GEOMETRY, **SMALL)))
    done = CliRunner().invoke(cli, ["convert", "mask_dino", str(file)])
    assert done.exit_code == 0
    assert build(GEOMETRY, **SMALL, weights=done.output.strip()).pretrained == done.output.strip()


def test_a_model_without_published_weights_converts_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["convert", "plain", str(tmp_path)])
    assert "has no published weights to start from" in str(done.exception)
