"""The adapters of MONAI, segmentation-models-pytorch and nnU-Net."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchbench import Geometry, IncompatibleError
from benchbench_models import monai_models, nnunet_models, segresnet_vae, smp_models, unetr

UNETR = {"width": 4, "hidden": 24, "mlp": 24, "heads": 2}
LITTLE = "tu-mobilenetv3_small_050"


SQUARE = Geometry(1, 2, (64, 64))


def smp(name: str, geometry: Geometry = SQUARE, **params: Any) -> nn.Module:
    plugins = {plugin.name: plugin for plugin in smp_models.benchbench_models()}
    return plugins[name].build(geometry, **{"encoder": LITTLE, **params})


@torch.no_grad()
def test_unetr_gives_the_logits_of_the_class_of_monai() -> None:
    nets = importlib.import_module("monai.networks.nets")
    reference = nets.UNETR(
        2, 3, (16, 32, 16), feature_size=4, hidden_size=24, mlp_dim=24, num_heads=2, spatial_dims=3
    ).eval()
    model = unetr.build(Geometry(2, 3, (16, 32, 16)), **UNETR).eval()
    model.load_state_dict(reference.state_dict())
    images = torch.randn(2, 2, 16, 32, 16)
    torch.testing.assert_close(model(images), reference(images), atol=1e-5, rtol=0)


def vae_and_reference() -> tuple[nn.Module, nn.Module, Tensor]:
    nets = importlib.import_module("monai.networks.nets")
    reference = nets.SegResNetVAE((16, 16, 32), vae_nz=8, init_filters=8, in_channels=2, out_channels=3)
    model = segresnet_vae.build(Geometry(2, 3, (16, 16, 32)), width=8, latent=8)
    model.network.load_state_dict(reference.state_dict())
    return model, reference, torch.randn(2, 2, 16, 16, 32)


@torch.no_grad()
def test_segresnet_vae_gives_the_logits_of_the_class_of_monai() -> None:
    model, reference, images = vae_and_reference()
    torch.testing.assert_close(model.eval()(images), reference.eval()(images)[0], atol=1e-5, rtol=0)


def test_the_loss_of_segresnet_vae_adds_a_tenth_of_that_of_the_branch() -> None:
    model, reference, images = vae_and_reference()
    torch.manual_seed(0)
    loss, logits = model.train().loss(images, torch.zeros(0), lambda logits: logits.mean())
    torch.manual_seed(0)
    expected, branch = reference.train()(images)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(loss, expected.mean() + 0.1 * branch)


@torch.no_grad()
def test_segresnet_vae_predicts_on_other_sizes_than_it_is_trained_on() -> None:
    model, _, _ = vae_and_reference()
    assert model.eval()(torch.randn(1, 2, 32, 16, 8)).shape == (1, 3, 32, 16, 8)


@pytest.mark.parametrize("patch", [(64, 32), (32, 16, 32)])
def test_the_checkpoint_of_a_dynunet_or_nnunet_has_every_weight_once(patch: tuple[int, ...]) -> None:
    geometry = Geometry(1, 1, patch)
    for model in (
        monai_models.dynunet(geometry, widths=(4, 8, 8), deep_supervision=1),
        nnunet_models.build_plain(geometry, widths=(4, 8, 8)),
        nnunet_models.build_residual(geometry, widths=(4, 8, 8), blocks=(1, 1, 1)),
    ):
        stored = sum(tensor.numel() for tensor in model.state_dict().values())
        assert stored == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("build", "heads"),
    [
        (lambda geometry: monai_models.dynunet(geometry, widths=(4, 8, 8, 8), deep_supervision=2), 3),
        (lambda geometry: nnunet_models.build_plain(geometry, widths=(4, 8, 8), deep_supervision=True), 2),
        (lambda geometry: monai_models.mednext(geometry, width=4, deep_supervision=True), 5),
    ],
)
def test_heads_are_half_as_large_from_one_to_the_next_and_only_in_training(build: Any, heads: int) -> None:
    model = build(Geometry(1, 2, (64, 32)))
    images = torch.randn(2, 1, 64, 32)
    with torch.no_grad():
        logits = model.train()(images)
        assert [tuple(head.shape) for head in logits] == [(2, 2, 64 >> n, 32 >> n) for n in range(heads)]
        assert model.eval()(images).shape == (2, 2, 64, 32)


@pytest.mark.parametrize(
    ("build", "geometry", "params", "message"),
    [
        (unetr.build, Geometry(1, 1, (32, 40)), {}, "unetr: patch is [32, 40], expected multiples of 16; change"),
        (
            unetr.build,
            Geometry(1, 1, (16, 16)),
            {},
            "unetr: patch is [16, 16], expected more than 16 along an axis",
        ),
        (unetr.build, Geometry(1, 1, (32, 32)), {"hidden": 25}, "hidden is 25, expected a multiple of heads = 12"),
        (
            segresnet_vae.build,
            Geometry(1, 1, (24, 32)),
            {},
            "segresnet_vae: patch is [24, 32], expected multiples",
        ),
        (segresnet_vae.build, Geometry(1, 1, (32, 32)), {"width": 12}, "width is 12, expected a multiple of 8"),
        (segresnet_vae.build, Geometry(1, 1, (32, 32)), {"vae_weight": -1.0}, "vae_weight is -1.0, expected 0 or"),
        (monai_models.swin_unetr, Geometry(1, 1, (32, 32)), {}, "expected more than 32 along an axis; enlarge"),
        (
            monai_models.swin_unetr,
            Geometry(1, 1, (64, 64)),
            {"width": 20},
            "width is 20, expected a multiple of 12",
        ),
        (
            monai_models.dynunet,
            Geometry(1, 1, (64, 64)),
            {"widths": (4, 8)},
            "widths is [4, 8], expected 3 or more",
        ),
        (monai_models.dynunet, Geometry(1, 1, (64, 64)), {"deep_supervision": 5}, "expected 0 to 4 levels"),
        (
            monai_models.segresnet,
            Geometry(1, 1, (20, 32)),
            {},
            "monai_segresnet: patch is [20, 32], expected mult",
        ),
        (
            monai_models.vnet,
            Geometry(3, 1, (32, 32)),
            {},
            "monai_vnet: found 3 channels, expected 1, 2, 4, 8 or 16",
        ),
        (
            monai_models.attention_unet,
            Geometry(1, 1, (32, 32)),
            {"dropout": 1.0},
            "expected a probability in [0, 1)",
        ),
        (monai_models.mednext, Geometry(1, 1, (32, 32)), {"kernel": 4}, "kernel is 4, expected an odd number"),
        (
            nnunet_models.build_plain,
            Geometry(1, 1, (32, 32)),
            {},
            "nnunet_plain: patch is [32, 32], expected more",
        ),
        (
            nnunet_models.build_plain,
            Geometry(1, 1, (48, 32)),
            {},
            "expected multiples of 32; change the protocol's patch or the widths",
        ),
        (nnunet_models.build_residual, Geometry(1, 1, (64, 64)), {"blocks": (1, 2)}, "expected 6 as widths has"),
    ],
)
def test_input_on_which_a_library_would_fail_is_refused_when_the_network_is_built(
    build: Any, geometry: Geometry, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(IncompatibleError) as caught:
        build(geometry, **params)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "geometry", "params", "message"),
    [
        ("smp_unet", Geometry(1, 1, (64, 64)), {"encoder": "resnet43"}, "did you mean 'resnet34'?"),
        ("smp_unet", Geometry(1, 1, (64, 64)), {"encoder": "tu-resnet18x"}, "did you mean 'tu-resnet18"),
        ("smp_unet", Geometry(1, 1, (64, 64)), {"encoder": "tu-resnet18.no_such"}, "smp_unet: encoder: found"),
        (
            "smp_unet",
            Geometry(1, 1, (64, 64)),
            {"encoder": "resnet18", "weights": "imagenot"},
            "smp_unet: weights of resnet18: found 'imagenot', expected one that the library has; did you mean 'imagenet'?",
        ),
        (
            "smp_linknet",
            Geometry(1, 1, (64, 64)),
            {"encoder": "mit_b0"},
            "smp_linknet: encoder 'mit_b0' cannot be",
        ),
        ("smp_pan", Geometry(1, 1, (64, 128)), {}, "smp_pan: patch is [64, 128], expected 128 or more along each"),
    ],
)
def test_the_error_of_an_encoder_that_cannot_be_used_is_one_line(
    name: str, geometry: Geometry, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(IncompatibleError) as caught:
        smp(name, geometry, **params)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_the_error_of_weights_that_are_missing_offline_is_one_line(
    monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(IncompatibleError) as caught:
        smp("smp_unet", encoder=encoder, weights="imagenet")
    assert f"smp_unet: weights 'imagenet' of encoder '{encoder}' are not in the cache" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_names_the_weights_it_starts_from(monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = importlib.import_module("segmentation_models_pytorch.encoders")
    weights = smp("smp_unet", Geometry(3, 1, (64, 64)), encoder="resnet18").encoder.state_dict()
    monkeypatch.setattr(encoders, "hf_hub_download", lambda *_, **__: "")
    monkeypatch.setattr(encoders, "load_file", lambda *_, **__: {**weights, "fc.bias": 0, "fc.weight": 0})
    model = smp("smp_unet", Geometry(3, 1, (64, 64)), encoder="resnet18", weights="imagenet")
    assert model.pretrained == "resnet18 imagenet"
    assert torch.equal(model.encoder.conv1.weight, weights["conv1.weight"])
    assert smp("smp_unet").pretrained == ""
