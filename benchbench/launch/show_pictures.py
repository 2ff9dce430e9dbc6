"""Pictures for `benchbench show`: a case of a dataset, and an image under the augmentations of a benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchbench.contract import Case, CaseRef, Dataset, DatasetPlugin
from benchbench.data.case_checks import load_case
from benchbench.data.folder import open_dataset
from benchbench.data.phantom import is_phantom, phantom_root
from benchbench.engine.augmentation.augment import augment
from benchbench.engine.batches.patches import open_source
from benchbench.engine.batches.sampling import Slices
from benchbench.engine.inference.panels import draw_channels, encode_rows, join_panels, panel, title_row
from benchbench.engine.inference.pictures import (
    Picture,
    planes_through,
    reference_masks,
    shown_channels,
    to_bytes,
    window_of,
)
from benchbench.engine.network.regions import region_masks
from benchbench.engine.preparation.frame import whole_frame
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.errors import UsageError
from benchbench.images.arrays import Mask
from benchbench.images.planes import Plane
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry
from benchbench.spec.augmentation import AugmentStep
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.document import nearest
from benchbench.spec.loss import Loss
from benchbench.spec.optimisation import Adam
from benchbench.spec.protocol import Protocol

_LEAST_SLICES = 16  # of a volume that is shown in three planes
_LARGEST_SPACING_RATIO = 2.0  # of a volume that is shown in three planes
_INSIDE_BIT = 6  # of a label: set where the image has tissue, so that it moves with the image
_PHANTOM_TITLE = "phantom data, made up; no patient"


class PictureSource(NamedTuple):
    """The place of the data of a picture, and its case."""

    data_root: Path | None
    cache: Path
    phantom: PhantomSize | None
    """Amount of phantom data that replaces the real data; None for real data."""
    case: str = ""
    """Id of the case; the first one if empty."""


class _Sample(NamedTuple):
    """One training image of a benchmark, before augmentation."""

    images: Tensor
    """(1, C, *patch)."""
    labels: Tensor
    """(1, *patch) bit masks, with `_INSIDE_BIT` where the image has tissue."""
    plane: Plane
    """The plane whose orientation a picture has."""


def picture_of_case(plugin: DatasetPlugin, params: Mapping[str, Any], source: PictureSource) -> bytes:
    """Return a PNG of a case of the dataset: its channels side by side, and its label.

    Raises:
        UsageError: there is no such case.
        DataError: the case cannot be read.
    """
    dataset, title = _open(plugin, params, source)
    ref = _find_case(dataset, source.case)
    case = load_case(dataset, ref.id)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepare(ref, case, dataset, _display_protocol(case), Path(folder))
        task = dataset.task
        return draw_channels(prepared, task.channels, regions=tuple(task.regions), title=f"{title}{ref.id}")


def picture_of_augmentations(
    benchmark: Benchmark, registry: Registry, source: PictureSource, *, draws: int
) -> bytes:
    """Return a PNG with a row for each augmentation of the benchmark: an image, then several random draws of it.

    All panels of a row have the grey scale of the image. Its background stays black.

    Raises:
        UsageError: there is no such case.
        DataError: the case cannot be read.
    """
    first = benchmark.variants[0]
    entry = first.datasets[0]
    plugin = registry.named_dataset(entry)
    dataset, title = _open(plugin, resolve_params(plugin.open, entry.params), source)
    ref = _find_case(dataset, source.case)
    case = load_case(dataset, ref.id)
    regions = tuple(dataset.task.regions)
    rows = [title_row(f"{title}{ref.id}", regions)]
    with tempfile.TemporaryDirectory() as folder:
        for label, protocol in _different_augmentations(benchmark):
            prepared = _prepare(ref, case, dataset, protocol, Path(folder))
            sample = _sample(prepared, protocol, regions=len(regions))
            pictures = list(_augmented(sample, protocol.augment, draws, regions=len(regions)))
            heading = label if len(benchmark.variants) > 1 else "image"
            panels = []
            for number, (picture, masks) in enumerate(pictures):
                text = f"draw {number}" if number else heading
                panels.append(panel(picture, text, masks=masks))
            rows.append(join_panels(panels))
    return encode_rows(rows)


def _open(plugin: DatasetPlugin, params: Mapping[str, Any], source: PictureSource) -> tuple[Dataset, str]:
    """Return the opened dataset, and the beginning of a title that says if its data are made up."""
    root = source.data_root
    if source.phantom is not None:
        root = phantom_root(plugin, source.phantom, cache=source.cache)
    dataset = open_dataset(plugin, params, data_root=root)
    is_made_up = root is not None and is_phantom(root / plugin.name)
    note = f" ({_PHANTOM_TITLE})" if is_made_up else ""
    return dataset, f"{plugin.name}{note}: "


def _find_case(dataset: Dataset, name: str) -> CaseRef:
    cases = {case.id: case for case in dataset.cases()}
    if not name:
        return next(iter(cases.values()))
    if name not in cases:
        raise UsageError(f"--case {name}: no such case; {nearest(name, list(cases))}")
    return cases[name]


def _prepare(ref: CaseRef, case: Case, dataset: Dataset, protocol: Protocol, folder: Path) -> PreparedCase:
    place = folder / str(len(list(folder.iterdir())))
    write_prepared(case, dataset.task, protocol, place)
    return PreparedCase(ref, place)


def _display_protocol(case: Case) -> Protocol:
    """Return a protocol that leaves a case as it is: slices, or a volume if its voxels are nearly cubes."""
    is_volume = case.label.ndim == 3 and case.affine is not None and min(case.label.shape) >= _LEAST_SLICES
    if is_volume and case.spacing_mm is not None:
        is_volume = max(case.spacing_mm) <= _LARGEST_SPACING_RATIO * min(case.spacing_mm)
    patch: tuple[int, ...] = (1, 1, 1)
    if not is_volume:
        shape = case.label.shape if case.label.ndim == 3 else (1, *case.label.shape)
        affine = case.affine if case.label.ndim == 3 else None
        patch = whole_frame(shape, affine, slice_axis="axial").shape[1:]
    return Protocol(
        ndim=3 if is_volume else 2,
        patch=patch,
        crop="nonzero" if is_volume else "none",
        epochs=1,
        batch=1,
        optimizer=Adam(name="adam", lr=1.0),
        loss=Loss(name="dice"),
    )


def _different_augmentations(benchmark: Benchmark) -> Iterator[tuple[str, Protocol]]:
    """Yield the label and the protocol of each variant whose augmentation differs from those before."""
    known: list[tuple[AugmentStep, ...]] = []
    for variant in benchmark.variants:
        if variant.protocol.augment not in known:
            known.append(variant.protocol.augment)
            yield variant.label, variant.protocol


def _sample(prepared: PreparedCase, protocol: Protocol, *, regions: int) -> _Sample:
    """Return the slice with the largest label, or a random patch that holds a labelled voxel."""
    always_labelled = protocol.model_copy(update={"oversample_foreground": 1.0})
    source = open_source([prepared], always_labelled, device=torch.device("cpu"))
    number = 0
    if isinstance(source, Slices):
        number = int((prepared.label() > 0).sum((1, 2)).argmax())
    generator = torch.Generator().manual_seed(0)
    images, labels = source.batch(torch.tensor([number]), generator=generator)
    labels = labels.clone()
    if regions <= _INSIDE_BIT:
        labels |= _has_tissue(images).to(torch.uint8) << _INSIDE_BIT
    plane = planes_through(prepared, reference_masks(prepared, regions=regions))[0]
    return _Sample(images.clone(), labels, plane)


def _augmented(
    sample: _Sample, steps: tuple[AugmentStep, ...], draws: int, *, regions: int
) -> Iterator[tuple[Picture, Mask]]:
    """Yield the image and then its random draws, each as pixels and masks (K, H, W)."""
    repeats = [draws] + [1] * (sample.labels.ndim - 1)
    images, labels = augment(
        sample.images.repeat(*repeats, 1),
        sample.labels.repeat(*repeats),
        steps,
        generator=torch.Generator().manual_seed(0),
    )
    window = None
    all_images = torch.cat([sample.images, images])
    all_labels = torch.cat([sample.labels, labels])
    for image, label in zip(all_images, all_labels, strict=True):
        values, masks, inside = _shown_slice(image, label, regions=regions)
        turned = shown_channels(sample.plane.turn(values.numpy()))
        window = window or window_of(turned)
        picture = to_bytes(turned, window)
        picture[~sample.plane.turn(inside.numpy())] = 0
        yield picture, np.ascontiguousarray(sample.plane.turn(masks.numpy()))


def _has_tissue(images: Tensor) -> Tensor:
    """Return bool (B, *patch), False where every channel is 0 or as low as anywhere: background and padding."""
    axes = tuple(range(2, images.ndim))
    is_lowest = images == images.amin(axes, keepdim=True)
    return ~(is_lowest | (images == 0)).all(1)


def _shown_slice(image: Tensor, label: Tensor, *, regions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return image (C, H, W), masks (K, H, W) and tissue (H, W): the slice, or of a patch that of most label."""
    masks = region_masks(label[None], regions)[0]
    inside = torch.ones_like(label, dtype=torch.bool)
    if regions <= _INSIDE_BIT:
        inside = label >> _INSIDE_BIT & 1 > 0
    if label.ndim == 2:
        return image, masks, inside
    number = int(masks.any(0).sum((1, 2)).argmax())
    return image[:, number], masks[:, number], inside[number]
