"""Published checkpoints: their names for tensors, conversion, and what does not fit."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from benchbench import DataError, DataNotFoundError, Geometry, IncompatibleError
from benchbench.cli import cli
from benchbench_models.mask_dino import build, convert
from benchbench_models.mask_dino.layout import own_name, translate

SMALL: dict[str, Any] = {
    "backbone": "resnet18", "encoder_layers": 1, "decoder_layers": 2, "queries": 4, "points": 16,
    "frozen_batch_norm": True,
}  # fmt: skip
GEOMETRY = Geometry(3, 2, (64, 64))


@pytest.fixture(autouse=True)
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def published_names(*, stages: tuple[int, ...], encoder_layers: int, decoder_layers: int) -> list[str]:
    """The keys of a checkpoint on detectron2, written down from its modules."""
    norm, linear = ("weight", "bias", "running_mean", "running_var"), ("weight", "bias")
    keys = ["backbone.stem.conv1.weight", *(f"backbone.stem.conv1.norm.{each}" for each in norm)]
    bottleneck = len(stages) == 4 and stages != (2, 2, 2, 2)
    for stage, blocks in enumerate(stages, start=2):
        for block in range(blocks):
            shortcut = ["shortcut"] if block == 0 and (bottleneck or stage > 2) else []
            for layer in [*shortcut, "conv1", "conv2", *(["conv3"] if bottleneck else [])]:
                keys.append(f"backbone.res{stage}.{block}.{layer}.weight")
                keys += [f"backbone.res{stage}.{block}.{layer}.norm.{each}" for each in norm]
    pixel, head = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"
    keys += [
        f"{pixel}.input_proj.{level}.{part}.{each}" for level in range(3) for part in (0, 1) for each in linear
    ]
    keys.append(f"{pixel}.transformer.level_embed")
    deformable = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    for layer in range(encoder_layers):
        parts = [*(f"self_attn.{each}" for each in deformable), "norm1", "linear1", "linear2", "norm2"]
        keys += [f"{pixel}.transformer.encoder.layers.{layer}.{part}.{each}" for part in parts for each in linear]
    keys += [f"{pixel}.mask_features.{each}" for each in linear]
    keys += [
        f"{pixel}.{part}.{each}"
        for part in ("adapter_1", "layer_1")
        for each in ("weight", "norm.weight", "norm.bias")
    ]
    keys += [f"{head}.{each}.weight" for each in ("query_feat", "query_embed", "label_enc")]
    keys += [
        f"{head}.{part}.{each}" for part in ("class_embed", "decoder_norm", "decoder.norm") for each in linear
    ]
    perceptrons = {"mask_embed": 3, "_bbox_embed": 3, "decoder.ref_point_head": 2}
    for layer in range(decoder_layers):
        perceptrons |= {f"bbox_embed.{layer}": 3, f"decoder.bbox_embed.{layer}": 3}
        parts = [*(f"cross_attn.{each}" for each in deformable), "self_attn.out_proj"]
        parts += ["norm1", "norm2", "norm3", "linear1", "linear2"]
        keys += [f"{head}.decoder.layers.{layer}.{part}.{each}" for part in parts for each in linear]
        keys += [f"{head}.decoder.layers.{layer}.self_attn.in_proj_{each}" for each in linear]
    for name, depth in perceptrons.items():
        keys += [f"{head}.{name}.layers.{number}.{each}" for number in range(depth) for each in linear]
    return [*keys, "criterion.empty_weight"]


SMALL_NAMES = published_names(stages=(2, 2, 2, 2), encoder_layers=1, decoder_layers=2)


def published(model: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint of this model would hold."""
    own = model.state_dict()
    found = {name: own[name_here] for name in SMALL_NAMES if (name_here := own_name(name)) is not None}
    return {**found, "criterion.empty_weight": torch.ones(3)}


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
    assert {own_name(name) for name in published_names(**names)} - {None} == set(model.state_dict())


def test_no_two_tensors_of_the_state_share_their_memory(tmp_path: Path) -> None:
    model = build(GEOMETRY, **SMALL)
    save_file(model.state_dict(), tmp_path / "all.safetensors")  # refuses shared memory


def test_a_converted_checkpoint_gives_the_same_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(GEOMETRY, **SMALL).eval()
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


def test_heads_of_other_classes_and_a_stem_of_other_channels_stay_new_and_it_is_said(tmp_path: Path) -> None:
    model = build(GEOMETRY, **SMALL)
    name = convert(checkpoint(tmp_path / "a.pth", published(model)))
    other = build(Geometry(4, 3, (64, 64)), **SMALL, weights=name)
    assert other.pretrained == (
        f"{name}, but for decoder.heads.to_class.weight, decoder.heads.to_class.bias, decoder.label_content.weight,"
        " backbone.conv1.weight"
    )
    assert torch.equal(other.backbone.layer1[0].conv1.weight, model.backbone.layer1[0].conv1.weight)


def test_the_name_says_the_content(tmp_path: Path, weights_folder: Path) -> None:
    tensors = published(build(GEOMETRY, **SMALL))
    first, again = (convert(checkpoint(tmp_path / f"{n}" / "a.pth", tensors)) for n in _folders(tmp_path, 2))
    assert first == again
    tensors["backbone.stem.conv1.weight"] = tensors["backbone.stem.conv1.weight"] + 1
    assert convert(checkpoint(tmp_path / "a.pth", tensors)) != first
    assert {file.suffix for file in weights_folder.iterdir()} == {".safetensors"}


def _folders(root: Path, count: int) -> list[int]:
    for number in range(count):
        (root / f"{number}").mkdir()
    return list(range(count))


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, weights_folder: Path) -> None:
    name = convert(checkpoint(tmp_path / "a.pth", published(build(GEOMETRY, **SMALL))))
    file = weights_folder / f"{name}.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    with pytest.raises(DataError, match="other content than their name says"):
        build(GEOMETRY, **SMALL, weights=name)


def test_weights_that_were_never_converted_are_told_with_the_command_that_makes_them() -> None:
    with pytest.raises(
        DataNotFoundError, match="not on this machine; make them with 'benchbench convert mask_dino"
    ):
        build(GEOMETRY, **SMALL, weights="maskdino_r50-0123abcd")


@pytest.mark.parametrize("name", ["maskdino.pth", "../secret-0123abcd", "/etc/passwd", "a-0123abcg"])
def test_a_path_is_no_name_of_weights(name: str) -> None:
    with pytest.raises(IncompatibleError, match="expected a name that ends in"):
        build(GEOMETRY, **SMALL, weights=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_layers": 3}, r"no decoder\.layers\.2\.\S+, expected"),
        ({"queries": 7}, r"decoder\.start\.anchors\.weight \[4, 4\], expected \[7, 4\]"),
        ({"backbone": "resnet34"}, r"no backbone\.layer1\.2\.\S+, expected"),
        ({"selection": "two_stage"}, r"decoder\.start\.anchors\.weight \[4, 4\], expected none"),
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
    with pytest.raises(DataError, match=r"evil\.pth: cannot be read as tensors alone"):
        convert(file)
    assert not (tmp_path / "it ran").exists()
    with file.open("rb"), pytest.raises(pickle.UnpicklingError):
        torch.load(file, weights_only=True)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"gone\.pth: not found"):
        convert(tmp_path / "gone.pth")


def test_a_file_that_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    file = tmp_path / "text.pth"
    file.write_text("not a checkpoint")
    with pytest.raises(DataError, match="cannot be read as tensors alone"):
        convert(file)
    torch.save([torch.ones(2)], file)
    with pytest.raises(DataError, match="found no tensors by name"):
        convert(file)


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


def test_a_model_that_starts_from_nothing_published_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["convert", "plain", str(tmp_path)])
    assert "has no published weights to start from" in str(done.exception)
