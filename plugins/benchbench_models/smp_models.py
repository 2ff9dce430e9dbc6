"""Every architecture of segmentation-models-pytorch, with any of its encoders, in 2D.

Source: Iakubovskii, github.com/qubvel-org/segmentation_models.pytorch, and the paper of each architecture.
What no parameter sets has the library's default. Weights that are downloaded for an encoder were trained on
natural images in three colours: for another number of channels the library adds up or repeats those of the first
convolution, and intensities are normalised as the protocol says, not as for ImageNet. A network that starts from
such weights is marked in every row of the results.
Differs: outputs are logits, and the smallest patch that an architecture can take is checked when it is built.
Not every architecture reads all of its encoder: `unused` names the unused parts of encoders of the ResNet and
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

TIMM = "tu-"
DATA_SETS = {
    "advprop": ("ImageNet",),
    "imagenet": ("ImageNet",),
    "imagenet+5k": ("ImageNet", "ImageNet-22k"),
    "imagenet+background": ("ImageNet",),
    "instagram": ("IG-940M", "ImageNet"),
    "noisy-student": ("JFT-300M", "ImageNet"),
    "noisy-student-475": ("JFT-300M", "ImageNet"),
    "ssl": ("YFCC100M", "ImageNet"),
    "swsl": ("IG-1B-Targeted", "ImageNet"),
}
"""Name of weights -> the data sets that they were trained on."""
"""Prefix of the names of encoders from timm."""
VISION_TRANSFORMER = "tu-vit_base_patch16_224.augreg_in21k"


class Architecture(NamedTuple):
    """One class of the library."""

    library_name: str
    """Name of the class."""
    source: str
    encoder: str = "resnet34"
    """The encoder by default."""
    least_size: int = 32
    """Smallest number of pixels along an axis of the patch."""
    unused: tuple[str, ...] = ()
    """Patterns of the parameters of an encoder that this architecture does not read."""
    options: Mapping[str, bool] = MappingProxyType({})
    """Further arguments that the class needs to take any size of image."""


ARCHITECTURES = {
    "smp_unet": Architecture("Unet", "arXiv:1505.04597"),
    "smp_unet_plus_plus": Architecture("UnetPlusPlus", "arXiv:1807.10165"),
    "smp_manet": Architecture("MAnet", "doi:10.1109/ACCESS.2020.3025372"),
    "smp_linknet": Architecture("Linknet", "arXiv:1707.03718"),
    "smp_fpn": Architecture("FPN", "arXiv:1612.03144"),
    "smp_pspnet": Architecture("PSPNet", "arXiv:1612.01105", unused=("encoder.layer[34].*",)),
    "smp_pan": Architecture("PAN", "arXiv:1805.10180", least_size=128),
    "smp_deeplabv3": Architecture("DeepLabV3", "arXiv:1706.05587"),
    "smp_deeplabv3_plus": Architecture("DeepLabV3Plus", "arXiv:1802.02611"),
    "smp_upernet": Architecture("UPerNet", "arXiv:1807.10221"),
    "smp_segformer": Architecture("Segformer", "arXiv:2105.15203"),
    "smp_dpt": Architecture(
        "DPT",
        "arXiv:2103.13413",
        encoder=VISION_TRANSFORMER,
        options={"dynamic_img_size": True},
        unused=("encoder.model.norm.*", "encoder.model.head.*", "encoder.model.fc_norm.*"),
    ),
}


def _build_of(name: str) -> Callable[..., nn.Module]:
    """Return the function that builds one architecture."""
    architecture = ARCHITECTURES[name]

    def build(geometry: Geometry, *, encoder: str = architecture.encoder, weights: str = "") -> nn.Module:
        return _build(name, geometry, encoder=encoder, weights=weights)

    build.__doc__ = f"""Return {architecture.library_name} of segmentation-models-pytorch.

    encoder: a name of the library's list, or that of any network of timm with "tu-" before it.
    weights: pretrained weights that the encoder starts from, such as "imagenet", downloaded once and cached; for a
        network of timm, whose name contains that of its weights after a dot, any word has this effect. Without
        them, the encoder starts from random numbers.

    Raises:
        IncompatibleError: there is no such encoder, the architecture cannot use it, its weights cannot be
            downloaded, or the patch is too small.
    """
    return build


def _build(name: str, geometry: Geometry, *, encoder: str, weights: str) -> nn.Module:
    import segmentation_models_pytorch as smp  # noqa: PLC0415 importing it takes a second

    architecture = ARCHITECTURES[name]
    if min(geometry.patch) < architecture.least_size:
        raise IncompatibleError(
            f"{name}: patch is {list(geometry.patch)}, expected {architecture.least_size} or more along each axis;"
            " enlarge the protocol's patch"
        )
    _check_encoder(name, encoder, weights)
    encoder_weights: str | bool | None = weights or None
    if weights and encoder.startswith(TIMM):
        encoder_weights = True
    network: nn.Module
    try:
        network = getattr(smp, architecture.library_name)(
            encoder_name=encoder,
            encoder_weights=encoder_weights,
            in_channels=geometry.in_channels,
            classes=geometry.out_channels,
            **architecture.options,
        )
    except OSError as error:  # the hub raises it without a connection, and if it has no such file
        raise IncompatibleError(
            f"{name}: weights '{weights}' of encoder '{encoder}' are not in the cache and could not be downloaded"
            f" ({type(error).__name__}); connect to the internet once, or leave out 'weights'"
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise IncompatibleError(
            f"{name}: encoder '{encoder}' cannot be used: {_first_line(error)}; choose another"
        ) from error
    network.pretrained = f"{encoder} {weights}" if weights else ""
    network.pretrained_on = _data_sets_of(encoder, weights) if weights else ()
    return network


def _data_sets_of(encoder: str, weights: str) -> tuple[str, ...]:
    """Return the data sets that pretrained weights were trained on, by the library's name of the weights."""
    if encoder.startswith(TIMM):
        return (f"those of the weights {encoder.removeprefix(TIMM)} of timm",)
    return DATA_SETS.get(weights, (f"those of the weights {weights}",))


def _check_encoder(name: str, encoder: str, weights: str) -> None:
    from segmentation_models_pytorch.encoders import encoders  # noqa: PLC0415 as above

    if encoder.startswith(TIMM):
        _check_timm_encoder(name, encoder)
    elif encoder not in encoders:
        raise IncompatibleError(_unknown(name, "encoder", encoder, list(encoders)))
    elif weights:
        known = list(encoders[encoder]["pretrained_settings"])
        if weights not in known:
            raise IncompatibleError(_unknown(name, f"weights of {encoder}", weights, known))


def _check_timm_encoder(name: str, encoder: str) -> None:
    import timm  # noqa: PLC0415 as above

    model, _, tag = encoder.removeprefix(TIMM).partition(".")
    known = None
    if not timm.is_model(model):
        known = timm.list_models()
    elif tag and not timm.models.is_model_pretrained(f"{model}.{tag}"):
        known = timm.list_pretrained(f"{model}.*")
    if known is not None:
        raise IncompatibleError(_unknown(name, "encoder", encoder, [TIMM + known_name for known_name in known]))


def _unknown(name: str, place: str, given: str, known: list[str]) -> str:
    """Return the problem of a name that the library does not know; `place` says what it is the name of."""
    close = get_close_matches(given, known, n=1)
    if close:
        hint = f"did you mean '{close[0]}'?"
    elif known:
        more = ", …" if len(known) > 6 else ""
        hint = f"known: {', '.join(known[:6])}{more}"
    else:
        hint = "known: none"
    return f"{name}: {place}: found '{given}', expected one that the library has; {hint}"


def _first_line(error: Exception) -> str:
    message = error.args[0] if error.args else error
    lines = str(message).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


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
            extra="smp",
            unused=("encoder._conv_head.*", "encoder._bn1.*", *architecture.unused),
            published=(counted,) if name == "smp_unet" else (),
        )
        for name, architecture in ARCHITECTURES.items()
    ]
