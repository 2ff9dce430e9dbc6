"""The preparation of an image as transforms of MONAI, in the order and with the rounding of benchbench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchbench.engine.preparation.statistics import ChannelStatistics, Statistics
from benchbench.spec.protocol import Protocol

Entry = dict[str, Any]

_SIZE_BEFORE = "size_before"  # entry in the metadata of an image: its size before it is resized
_LINEAR = {2: "bilinear", 3: "trilinear"}
_PERCENTILES = {"lower": 0.5, "upper": 99.5}
_SPLINE_ORDER = 3
_DIRECTIONS = [["L", "R"], ["P", "A"], ["I", "S"]]


def transform(name: str, **arguments: Any) -> Entry:
    """Return the entry of a transform that changes the image."""
    return {"_target_": name, "keys": "image", **arguments}


def preprocessing(protocol: Protocol, statistics: Statistics, *, is_8_bit: bool) -> list[Entry]:
    """Return the transforms from the files of an image to the input of the network.

    `is_8_bit` is True if the files have 8-bit values, which `intensity = "unit"` divides by 255.
    """
    divides = is_8_bit and protocol.intensity == "unit" and protocol.window is None
    reader = "NibabelReader" if protocol.ndim == 3 else "PILReader"
    steps = [transform("LoadImaged", reader=reader, ensure_channel_first=True)]
    if protocol.ndim == 3:
        steps.append(transform("Orientationd", axcodes="SAR", labels=_DIRECTIONS))
    else:
        steps.append(transform("Transposed", indices=[0, 2, 1]))  # MONAI reads pictures as (width, height)
    if protocol.crop == "nonzero":
        steps.append(transform("CropForegroundd", source_key="image", select_fn="$lambda x: x != 0"))
    if not divides:
        steps += _normalisation(protocol, statistics.intensities)
        steps += _rounding()
    if _resizes(protocol, statistics):
        steps.append(transform("Lambdad", func="@resize"))
        if not divides:
            steps += _rounding()
    if divides:
        steps.append(transform("ScaleIntensityRanged", a_min=0, a_max=255, b_min=0, b_max=1))
    return steps


def resizing(protocol: Protocol, statistics: Statistics, *, is_8_bit: bool) -> Entry:
    """Return the functions that resize an image (C, *space) and a prediction back; {} where none does.

    `resize` keeps the size before in the metadata of the image, and `restore_size` reads it there.
    """
    if not _resizes(protocol, statistics):
        return {}
    if protocol.ndim == 2:
        rounds = is_8_bit and protocol.intensity == "unit" and protocol.window is None
        return _placement(protocol.patch, rounds=rounds)
    target = protocol.spacing if isinstance(protocol.spacing, tuple) else statistics.spacing_mm
    assert target is not None, "volumes are resized to a voxel size"
    return _resampling(protocol, target)


def _resizes(protocol: Protocol, statistics: Statistics) -> bool:
    if protocol.ndim == 2:
        return protocol.resize == "fit"
    return protocol.spacing is not None or statistics.spacing_mm is not None


def _placement(patch: Sequence[int], *, rounds: bool) -> Entry:
    """Return the functions that fit a slice into the patch, and back."""
    (side, _) = patch
    resize = (
        f"monai.transforms.Resize({side}, size_mode='longest', mode='area' if max(x.shape[1:]) > {side} else"
        " 'bilinear')(x.as_tensor())"
    )
    if rounds:
        resize += ".add(0.5).floor()"  # as OpenCV rounds
    scaled = f"[max(1, round(n * min({side} / m for m in size))) for n in size]"
    offset = f"[({side} - n) // 2 for n in scaled(size)]"
    return {
        "scaled_size": f"$lambda size: {scaled}",
        "resize": _with_size(f"monai.transforms.SpatialPad([{side}, {side}])({resize}).as_tensor()"),
        "placed_part": (
            f"$lambda pred, size, scaled=@scaled_size:"
            f" monai.transforms.SpatialCrop(roi_start={offset},"
            f" roi_end=[a + n for a, n in zip({offset}, scaled(size))])(pred)"
        ),
        "restore_size": _back("placed_part(pred, size)", ndim=2, defaults=", placed_part=@placed_part"),
    }


def _resampling(protocol: Protocol, target: Sequence[float]) -> Entry:
    """Return the functions that give a volume another voxel size, and back."""
    spacing = ", ".join(repr(float(size)) for size in target)
    size = f"[max(1, round(float(old) / new * n)) for old, new, n in zip(x.pixdim, [{spacing}], x.shape[1:])]"
    if protocol.resampling == "linear":
        resize = "torch.nn.functional.interpolate(x.as_tensor()[None], size(x), mode='trilinear')[0]"
    else:
        affine = "monai.transforms.utils.scale_affine(list(x.shape[1:]), size(x))"
        resize = (
            f"monai.transforms.SpatialResample(mode={_SPLINE_ORDER}, padding_mode='nearest')(x.as_tensor(),"
            f" dst_affine={affine}, spatial_size=size(x)).as_tensor()"
            ".clamp(x.as_tensor().amin((1, 2, 3), True), x.as_tensor().amax((1, 2, 3), True))"
        )
    return {
        "resampled_size": f"$lambda x: {size}",
        "resize": _with_size(resize, defaults=", size=@resampled_size"),
        "restore_size": _back("pred", ndim=3),
    }


def _with_size(resized: str, *, defaults: str = "") -> str:
    """Return a function of an image x: what `resized` gives, with the metadata of x and its size."""
    return (
        f"$lambda x{defaults}: monai.data.MetaTensor({resized},"
        f" meta={{**x.meta, '{_SIZE_BEFORE}': torch.tensor(x.shape[1:])}},"
        " applied_operations=x.applied_operations)"
    )


def _back(part: str, *, ndim: int, defaults: str = "") -> str:
    """Return a function of the items of a case, whose prediction gets the size that the image had."""
    interpolate = f"torch.nn.functional.interpolate(({part})[None], size, mode='{_LINEAR[ndim]}')[0]"
    return (
        f"$lambda items{defaults}: dict(items, pred=(lambda pred, size: {interpolate})"
        f"(items['pred'], items['image'].meta['{_SIZE_BEFORE}'].tolist()))"
    )


def _rounding() -> list[Entry]:
    """Return the casts that round an image as its prepared copy on disk is rounded."""
    return [
        transform("CastToTyped", dtype="$torch.float16"),
        transform("CastToTyped", dtype="$torch.float32"),
    ]


def _normalisation(protocol: Protocol, intensities: Sequence[ChannelStatistics]) -> Iterator[Entry]:
    if protocol.window is not None and protocol.intensity != "unit":
        yield from _clipping(*protocol.window)
    match protocol.intensity:
        case "unit":
            if protocol.window is None:
                yield transform("ScaleIntensityd", minv=0, maxv=1, channel_wise=True)
            else:
                low, high = protocol.window
                yield transform("ScaleIntensityRanged", a_min=low, a_max=high, b_min=0, b_max=1, clip=True)
        case "zscore" | "zscore_nonzero":
            nonzero = protocol.intensity == "zscore_nonzero"
            yield transform("NormalizeIntensityd", nonzero=nonzero, channel_wise=True)
        case "percentile":
            yield transform(
                "ScaleIntensityRangePercentilesd", **_PERCENTILES, b_min=0, b_max=1, clip=True, channel_wise=True
            )
        case "ct":
            (channel,) = intensities
            yield from _clipping(channel.low, channel.high)
            divisor = max(channel.sd, 1e-8)
            yield transform("NormalizeIntensityd", subtrahend=[channel.mean], divisor=[divisor], channel_wise=True)


def _clipping(low: float, high: float) -> list[Entry]:
    return [
        transform("ThresholdIntensityd", threshold=high, above=False, cval=high),
        transform("ThresholdIntensityd", threshold=low, above=True, cval=low),
    ]
