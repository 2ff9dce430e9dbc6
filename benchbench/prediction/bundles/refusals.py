"""Settings of a run that a MONAI bundle cannot have."""

from __future__ import annotations

from collections.abc import Iterator

from benchbench.engine.preparation.resample import separate_axis
from benchbench.errors import UsageError
from benchbench.prediction.trained import Trained
from benchbench.spec.inference import Postprocess
from benchbench.spec.protocol import Protocol


def check_expressible(trained: Trained) -> None:
    """Check that MONAI's transforms can prepare an image and decide on masks as the run does.

    Raises:
        UsageError: they cannot, with the key and its value.
    """
    for key, value, reason in _problems(trained):
        raise UsageError(f"--format monai-bundle: {key} = {value}: {reason}; use --format torchscript")


def _problems(trained: Trained) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and reason of each setting that a bundle cannot have."""
    protocol = trained.protocol
    if protocol.denoise != "none":
        yield "protocol.denoise", f'"{protocol.denoise}"', "MONAI has no total-variation denoising"
    if protocol.context:
        yield "protocol.context", str(protocol.context), "an image of a bundle has no neighbouring slices"
    if protocol.one_hot_foreground:
        yield "protocol.one_hot_foreground", "true", "MONAI has no transform that appends this channel"
    yield from _intensity_problems(protocol, channels=len(trained.task.channels))
    yield from _space_problems(trained)
    if trained.postprocess is not None:
        yield from _postprocess_problems(trained.postprocess)


def _intensity_problems(protocol: Protocol, *, channels: int) -> Iterator[tuple[str, str, str]]:
    if protocol.intensity == "ct" and channels > 1:
        yield "protocol.intensity", '"ct"', f"MONAI clips all {channels} channels at the same values"
    if protocol.window is not None and protocol.intensity == "zscore_nonzero":
        low, high = protocol.window
        if not low < 0 < high:  # clipping would make other voxels 0, or those of 0 another value
            yield "protocol.window", f"[{low:g}, {high:g}]", "zscore_nonzero needs a window around 0 in MONAI"


def _space_problems(trained: Trained) -> Iterator[tuple[str, str, str]]:
    if trained.protocol.ndim == 2:
        yield from _slice_problems(trained)
    else:
        yield from _volume_problems(trained)


def _slice_problems(trained: Trained) -> Iterator[tuple[str, str, str]]:
    protocol = trained.protocol
    if any(trained.image_facts.get("orientations", ())):
        yield "protocol.ndim", "2", "a bundle predicts image files of one slice, not slices of a volume"
    if protocol.resize == "fit" and len(set(protocol.patch)) > 1:
        yield "protocol.patch", str(list(protocol.patch)), "MONAI resizes slices to a square only"
    if protocol.spacing is not None:
        yield "protocol.spacing", str(protocol.spacing), "image files of a slice have no voxel size"


def _volume_problems(trained: Trained) -> Iterator[tuple[str, str, str]]:
    protocol, facts = trained.protocol, trained.image_facts
    if facts and not any(facts.get("orientations", ())):
        yield "protocol.ndim", "3", "the training images have no orientation, which MONAI turns volumes by"
    (statistics,) = trained.predictors
    target = protocol.spacing if isinstance(protocol.spacing, tuple) else statistics.spacing_mm
    if target is None:
        return
    for spacing in (target, facts.get("least_mm"), facts.get("most_mm")):
        if spacing and separate_axis(spacing, target) is not None:
            text = " x ".join(f"{size:.3g}" for size in spacing)
            yield "protocol.spacing", text, "MONAI does not resample thick slices one by one"
            return


def _postprocess_problems(rules: Postprocess) -> Iterator[tuple[str, str, str]]:
    if any(rules.components.values()):
        yield "protocol.postprocess.components", str(rules.components), "MONAI has no rule for sure components"
    if any(rules.totals.values()):
        yield "protocol.postprocess.totals", str(rules.totals), "MONAI has no rule for small regions"
