"""Every architecture of segmentation-models-pytorch, with any of its encoders, in 2D.

Source: Iakubovskii, github.com/qubvel-org/segmentation_models.pytorch, and the paper of each architecture.
What the parameters do not name is the library's default. Weights fetched for an encoder were trained on natural
images in three colours: for another number of channels the library adds up or repeats those of the first
convolution, and the protocol's intensities stand in for ImageNet's own normalisation. A network that starts from
such weights says so in every row.
Differs: outputs are logits and the smallest patch that an architecture can take is checked when it is built.
Not every architecture reads all of its encoder: `unused` names what lies idle in encoders of the ResNet and
EfficientNet families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from benchbench import Geometry, IncompatibleError, ModelPlugin, Published, hookimpl

if TYPE_CHECKING:
    from torch import nn

VISION_TRANSFORMER = "tu-vit_base_patch16_224.augreg_in21k"


class Architecture(NamedTuple):
    """One class of the library."""

    library_name: str
    source: str
    encoder: str = "resnet34"
    least: int = 32
    """Pixels along an axis of the patch, at the least."""
    idle: tuple[str, ...] = ()
    """Parts of an encoder that this architecture does not read."""
    options: Mapping[str, bool] = MappingProxyType({})
    """What the class is told beside, for it to take any size of image."""


ARCHITECTURES = {
    "smp_unet": Architecture("Unet", "arXiv:1505.04597"),
    "smp_unet_plus_plus": Architecture("UnetPlusPlus", "arXiv:1807.10165"),
    "smp_manet": Architecture("MAnet", "doi:10.1109/ACCESS.2020.3025372"),
    "smp_linknet": Architecture("Linknet", "arXiv:1707.03718"),
    "smp_fpn": Architecture("FPN", "arXiv:1612.03144"),
    "smp_pspnet": Architecture("PSPNet", "arXiv:1612.01105", idle=("encoder.layer[34].*",)),
    "smp_pan": Architecture("PAN", "arXiv:1805.10180", least=128),
    "smp_deeplabv3": Architecture("DeepLabV3", "arXiv:1706.05587"),
    "smp_deeplabv3_plus": Architecture("DeepLabV3Plus", "arXiv:1802.02611"),
    "smp_upernet": Architecture("UPerNet", "arXiv:1807.10221"),
    "smp_segformer": Architecture("Segformer", "arXiv:2105.15203"),
    "smp_dpt": Architecture(
        "DPT",
        "arXiv:2103.13413",
        encoder=VISION_TRANSFORMER,
        options={"dynamic_img_size": True},
        idle=("encoder.model.norm.*", "encoder.model.head.*", "encoder.model.fc_norm.*"),
    ),
}


def _build_of(name: str) -> Callable[..., nn.Module]:
    """The factory of one architecture."""
    architecture = ARCHITECTURES[name]

    def build(geometry: Geometry, *, encoder: str = architecture.encoder, weights: str = "") -> nn.Module:
        return _build(name, geometry, encoder=encoder, weights=weights)

    build.__doc__ = f"""{architecture.library_name} of segmentation-models-pytorch, as the library builds it.

    `encoder` is a name of the library's list, or that of any network of timm with `tu-` before it. `weights` are
    those that the encoder starts from, such as "imagenet", fetched once and kept; for a network of timm, which
    names its weights after a dot, any word does. Without them it starts from random numbers.

    Raises:
        IncompatibleError: no such encoder, none that the architecture can use, weights that cannot be had, or a
            patch that is too small.
    """
    return build


def _build(name: str, geometry: Geometry, *, encoder: str, weights: str) -> nn.Module:
    import segmentation_models_pytorch as smp  # noqa: PLC0415 a second that only those pay who build it

    architecture = ARCHITECTURES[name]
    if min(geometry.patch) < architecture.least:
        raise IncompatibleError(
            f"{name}: patch is {list(geometry.patch)}, expected {architecture.least} or more along each axis;"
            " enlarge the protocol's patch"
        )
    _check_encoder(name, encoder, weights)
    of_timm = encoder.startswith("tu-")
    network: nn.Module
    try:
        network = getattr(smp, architecture.library_name)(
            encoder_name=encoder,
            encoder_weights=(bool(weights) or None) if of_timm else (weights or None),
            in_channels=geometry.in_channels,
            classes=geometry.out_channels,
            **architecture.options,
        )
    except OSError as error:  # what a hub without a network, or without such a file, ends in
        raise IncompatibleError(
            f"{name}: weights '{weights}' of encoder '{encoder}' are not in the cache and could not be fetched"
            f" ({type(error).__name__}); connect once, or leave out 'weights'"
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise IncompatibleError(
            f"{name}: encoder '{encoder}' cannot be used: {_first_line(error)}; choose another"
        ) from error
    network.pretrained = f"{encoder} {weights}" if weights else ""
    return network


def _check_encoder(name: str, encoder: str, weights: str) -> None:
    from segmentation_models_pytorch.encoders import encoders  # noqa: PLC0415 as above

    if encoder.startswith("tu-"):
        import timm  # noqa: PLC0415 as above

        model, _, tag = encoder.removeprefix("tu-").partition(".")
        if not timm.is_model(model):
            raise IncompatibleError(
                _unknown(name, "encoder", encoder, [f"tu-{each}" for each in timm.list_models()])
            )
        if tag and not timm.models.is_model_pretrained(f"{model}.{tag}"):
            known = [f"tu-{each}" for each in timm.list_pretrained(f"{model}.*")]
            raise IncompatibleError(_unknown(name, "encoder", encoder, known))
    elif encoder not in encoders:
        raise IncompatibleError(_unknown(name, "encoder", encoder, list(encoders)))
    elif weights and weights not in encoders[encoder]["pretrained_settings"]:
        raise IncompatibleError(
            _unknown(name, f"weights of {encoder}", weights, list(encoders[encoder]["pretrained_settings"]))
        )


def _unknown(name: str, what: str, found: str, known: list[str]) -> str:
    close = get_close_matches(found, known, n=1)
    listed = f"{', '.join(known[:6])}{', …' if len(known) > 6 else ''}"
    hint = f"did you mean '{close[0]}'?" if close else f"known: {listed or 'none'}"
    return f"{name}: {what}: found '{found}', expected one that the library has; {hint}"


def _first_line(error: Exception) -> str:
    lines = str(error.args[0] if error.args else error).strip().splitlines()
    return f"{lines[0].rstrip('.')}" if lines else type(error).__name__


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    counted = Published(
        source="segmentation-models-pytorch 0.6.0",
        geometry=Geometry(3, 1, (256, 256)),
        parameters=24_436_369,
        macs=7_813_988_352,
    )
    return [
        ModelPlugin(
            name=name,
            build=_build_of(name),
            source=architecture.source,
            licence="MIT (segmentation-models-pytorch); weights under their own",
            ndims=frozenset({2}),
            needs=("segmentation_models_pytorch", "timm"),
            unused=("encoder._conv_head.*", "encoder._bn1.*", *architecture.idle),
            published=(counted,) if name == "smp_unet" else (),
        )
        for name, architecture in ARCHITECTURES.items()
    ]
