"""Follows the directories of a TIFF file, one for each page, before tifffile reads them.

tifffile follows a circular list of pages almost without end. Where the list is damaged, it writes to its log and
reads the pages before, so that a stack would lose slices.

Source: TIFF 6.0, and BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from benchbench.images.input_files import COPY_AGAIN, FileFault, describe_content

if TYPE_CHECKING:
    from io import BufferedIOBase

_EXPECTED = "a whole TIFF file"
_MOST_TAGS = 4096
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Number of a type -> size of one value in bytes."""
_PIXEL_TAGS = frozenset({256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339})
"""Tags that decide how pixels are read; others may be damaged without changing a pixel."""


class _Layout(NamedTuple):
    """The sizes of the two kinds of TIFF."""

    order: str
    """Byte order, as struct writes it."""
    tag_count: str
    """Format of the number of tags."""
    entry: str
    """Format of a tag: number, type, number of values, and the values or their position."""
    offset: str
    """Format of a position in the file."""

    def read(self, stream: BufferedIOBase, form: str) -> tuple[int, ...]:
        form = self.order + form
        block = stream.read(struct.calcsize(form))
        if len(block) < struct.calcsize(form):
            raise FileFault("found a file that ends in its list of pages", _EXPECTED, COPY_AGAIN)
        return struct.unpack(form, block)


def count_pages(stream: BufferedIOBase, size: int) -> int:
    """Return the number of pages of a TIFF file of `size` bytes.

    Raises:
        FileFault: the file is no TIFF file, its list of pages is damaged, or a tag reaches beyond its end.
    """
    layout, offset = _read_start(stream)
    positions: set[int] = set()
    while offset:
        if offset in positions:
            raise FileFault("found a list of pages that runs in a circle", _EXPECTED, COPY_AGAIN)
        if offset >= size:
            raise FileFault(f"found page {len(positions)} beyond the end of the file", _EXPECTED, COPY_AGAIN)
        positions.add(offset)
        stream.seek(offset)
        (count,) = layout.read(stream, layout.tag_count)
        if count > _MOST_TAGS:
            raise FileFault(f"found a page with {count} tags", f"at most {_MOST_TAGS}", COPY_AGAIN)
        values = layout.read(stream, layout.entry * count + layout.offset)
        for tag in _tags_outside(values[:-1], layout, size):
            raise FileFault(f"found tag {tag} beyond the end of the file", _EXPECTED, COPY_AGAIN)
        offset = values[-1]
    if not positions:
        raise FileFault("found a file without pages", _EXPECTED, COPY_AGAIN)
    return len(positions)


def _read_start(stream: BufferedIOBase) -> tuple[_Layout, int]:
    """Return the layout and the position of the first page."""
    content = stream.read(512)
    start = content[:4]
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    version = None
    if order is not None and len(start) == 4:
        (version,) = struct.unpack(f"{order}H", start[2:])
    if order is None or version not in {42, 43}:
        raise FileFault(f"found {describe_content(content)}", "a TIFF file", COPY_AGAIN)
    stream.seek(4)
    if version == 42:
        layout = _Layout(order, "H", "HHII", "I")
    else:
        layout = _Layout(order, "Q", "HHQQ", "Q")
        layout.read(stream, "HH")  # the size of a position, 8, and 0
    (offset,) = layout.read(stream, layout.offset)
    return layout, offset


def _tags_outside(entries: tuple[int, ...], layout: _Layout, size: int) -> Iterator[int]:
    """Yield the number of each tag of pixels whose values are beyond the end of the file."""
    inline = struct.calcsize(layout.order + layout.offset)
    for place in range(0, len(entries), 4):
        tag, kind, count, position = entries[place : place + 4]
        nbytes = count * _TYPE_BYTES.get(kind, 1)
        if tag in _PIXEL_TAGS and nbytes > inline and position + nbytes > size:
            yield tag
