"""The masks of own images: values, colours or a file for each region, and the labels that they become."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.images.input_files import FileFault

Value = int | str
"""A value of a mask: a number, or a colour as "#rrggbb"."""
Values = Value | tuple[Value, ...]
Labels = NDArray[np.unsignedinteger[Any]]

IGNORE = "ignore"
"""Name of the mask file whose voxels are ignored, where each region has a file."""
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_MOST_FILES = 8
_MOST_LISTED = 4


@dataclass(frozen=True, kw_only=True)
class ValueMasks:
    """Masks of one file, with numbers or colours."""

    regions: Mapping[str, Values]
    background: Values
    ignore: Values

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (parameter, problem) for parameters that contradict each other."""
        if not self.regions:
            yield "regions", "found no region, expected at least one with its value in the mask"
        for value in dict.fromkeys([*self._all_values, *listed(self.background)]):
            if isinstance(value, str) and not _COLOUR.fullmatch(value):
                yield "regions", f"found '{value}', expected a number or a colour like \"#ff0000\""
        if len({type(value) for value in self._all_values}) > 1:
            yield "regions", "found numbers and colours, expected one of the two"
        for name, entry in self.regions.items():
            if not {0, "#000000"}.isdisjoint(listed(entry)):
                yield "regions", f"found 0 or black for '{name}', which is the background; choose another value"

    @property
    def _all_values(self) -> list[Value]:
        """The values of all regions and of ignored voxels."""
        return [value for entry in (*self.regions.values(), self.ignore) for value in listed(entry)]

    @property
    def has_colours(self) -> bool:
        return any(isinstance(value, str) for value in self._all_values)

    @cached_property
    def task_regions(self) -> dict[str, tuple[int, ...]]:
        """Region -> its label values."""
        return {name: tuple(self._label(value) for value in listed(entry)) for name, entry in self.regions.items()}

    @cached_property
    def task_ignored(self) -> tuple[int, ...]:
        return tuple(self._label(value) for value in listed(self.ignore))

    def labels(self, mask: NDArray[Any]) -> Labels:
        """Return the label (*space) of a mask (*space) of numbers, or of colours (*space, 3).

        Raises:
            FileFault: the mask has other values.
        """
        codes = _colour_codes(mask) if self.has_colours else mask
        if codes.ndim != mask.ndim - self.has_colours:
            raise FileFault("found one value per pixel", "colours", "give numbers in `regions`")
        labels = np.zeros(
            codes.shape, np.uint16 if codes.dtype.itemsize > 1 and not self.has_colours else np.uint8
        )
        is_known = np.zeros(codes.shape, bool)
        for value in (0, *listed(self.background)):
            is_known |= codes == _code(value)
        for value in self._numbered:
            is_value = codes == _code(value)
            is_known |= is_value
            labels[is_value] = self._label(value)
        if not is_known.all():
            raise self._unexpected(codes[~is_known])
        return labels

    @cached_property
    def _numbered(self) -> tuple[Value, ...]:
        """All values of regions and of ignored voxels, each once."""
        return tuple(dict.fromkeys(_normal(value) for value in self._all_values))

    def _label(self, value: Value) -> int:
        return value if isinstance(value, int) else 1 + self._numbered.index(_normal(value))

    def _unexpected(self, codes: NDArray[Any]) -> FileFault:
        expected = ", ".join(map(str, dict.fromkeys([0, *listed(self.background), *self._numbered])))
        remedy = "name them in `regions` or `background`"
        if len(np.unique(codes)) > _MOST_LISTED:
            remedy = f"save masks without smoothing and compression with losses, or {remedy}"
        return FileFault(f"found {_counts(codes, colours=self.has_colours)}", f"only {expected}", remedy)


@dataclass(frozen=True, kw_only=True)
class RegionMasks:
    """Masks of one file for each region; regions may overlap. A label has a bit for each region."""

    names: tuple[str, ...]
    """The regions in order, and perhaps IGNORE."""
    files: tuple[str, ...] | None = None
    """Those of the names that a case has a file of; None: all."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (parameter, problem) for parameters that contradict each other."""
        if not self.regions or len(self.names) > _MOST_FILES:
            yield "masks", f"found {len(self.names)} patterns, expected 1 to {_MOST_FILES}, a region each"

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name != IGNORE)

    @cached_property
    def task_regions(self) -> dict[str, tuple[int, ...]]:
        """Region -> its label values."""
        ignored = set(self.task_ignored)
        return {name: tuple(sorted(set(self._with(name)) - ignored)) for name in self.regions}

    @cached_property
    def task_ignored(self) -> tuple[int, ...]:
        return tuple(self._with(IGNORE)) if IGNORE in self.names else ()

    def labels(self, masks: Sequence[NDArray[Any]]) -> Labels:
        """Return the label (*space) of a mask (*space) for each file, where all values but 0 are the region.

        Raises:
            FileFault: a mask has more than one value in addition to 0, or another shape.
        """
        labels = np.zeros(masks[0].shape, np.uint8)
        for name, mask in zip(self.names if self.files is None else self.files, masks, strict=True):
            values = np.unique(mask[mask != 0])
            if len(values) > 1:
                counts = _counts(mask[mask != 0], colours=False)
                raise FileFault(f"found {counts} in the mask of '{name}'", "0 and one other value", "correct it")
            if mask.shape != labels.shape:
                expected = f"{labels.shape} like the others"
                raise FileFault(f"found shape {mask.shape} for '{name}'", expected, "correct it")
            labels[mask != 0] += 2 ** self.names.index(name)
        return labels

    def _with(self, name: str) -> list[int]:
        """Return all labels that have the bit of a name."""
        bit = self.names.index(name)
        return [label for label in range(2 ** len(self.names)) if label & 2**bit]


def listed(entry: Values) -> tuple[Value, ...]:
    """Return a value, or several values, as a tuple."""
    return entry if isinstance(entry, tuple) else (entry,)


def _normal(value: Value) -> Value:
    return value.lower() if isinstance(value, str) else value


def _code(value: Value) -> int:
    """Return a number, or the number of a colour."""
    return value if isinstance(value, int) else int(value[1:], 16)


def _colour_codes(mask: NDArray[Any]) -> NDArray[Any]:
    """Return the number 0xrrggbb of each colour (*space, 3); a mask without colours as it is."""
    if mask.shape[-1:] != (3,) or mask.ndim < 3:
        return mask
    red, green, blue = (mask[..., number].astype(np.uint32) for number in range(3))
    return red * 65536 + green * 256 + blue


def _counts(values: NDArray[Any], *, colours: bool) -> str:
    counts = Counter(values.ravel().tolist()).most_common()
    listed = [f"{_name(value, colours=colours)} ({number} px)" for value, number in counts[:_MOST_LISTED]]
    if len(counts) > _MOST_LISTED:
        listed.append(f"{len(counts) - _MOST_LISTED} more")
    return f"values {', '.join(listed)}"


def _name(value: int, *, colours: bool) -> str:
    return f"#{value:06x}" if colours else str(value)
