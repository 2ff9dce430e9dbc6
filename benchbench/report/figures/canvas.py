"""The common style of all figures, and their export as SVG, PDF and PNG.

The same records give the same bytes. matplotlib is imported only when something is drawn: the import takes half a
second, which no other command should pay.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchbench.report.figures.slides import Slides
from benchbench.report.figures.svg import id_prefix, prepare_svg
from benchbench.report.figures.svg_images import compact_images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

INK, PAPER, MUTED = "#1b1f24", "#ffffff", "#8a8f98"
# distinguishable with colour blindness, and on light and dark paper; Tol 2021, "bright"
SERIES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
THEME = {
    INK: "currentColor",
    PAPER: f"var(--figure-paper, {PAPER})",
    MUTED: f"var(--figure-muted, {MUTED})",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(SERIES, start=1)},
}
"""Colour -> its replacement in SVG, so that a page can set other colours in light and in dark mode."""

WIDTH = 7.0
"""Width of every figure in inches: the text width of a printed page."""
_DPI = 150
_MOST_NAMES = 8  # in a sentence
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "figure.dpi": _DPI,  # text of another size would not fit the layout
    "figure.facecolor": "none",
    "font.size": 8,
    "grid.alpha": 0.35,
    "grid.color": MUTED,
    "grid.linewidth": 0.4,
    "image.composite_image": False,  # separate images, so that equal ones can be stored once
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "path.simplify": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a model may have $ in its name
    "xtick.color": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A finished figure: SVG for a page, PDF for print, PNG for slides and viewers."""

    name: str
    title: str
    caption: str
    alt: str
    """Description of the figure for readers who cannot see it."""
    svg: str
    pdf: bytes
    png: bytes
    slides: Slides | None = None
    """The content of a gallery with sliders, which a page shows in place of the SVG."""

    @property
    def id_prefix(self) -> str:
        """Beginning of the ids of the figure on a page."""
        return id_prefix(self.name)

    @property
    def standalone(self) -> str:
        """The SVG as a file of its own."""
        return f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg}'


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Apply the common style, independent of the user's own matplotlib settings."""
    import matplotlib as mpl  # noqa: PLC0415 see above

    with mpl.rc_context(), warnings.catch_warnings():
        # a browser has the glyphs that the font of the PNG lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_drawing(height: float, *, has_layout: bool = True) -> Drawing:
    """Return an empty drawing of `WIDTH` by `height` inches; without layout the caller places its parts."""
    from matplotlib.figure import Figure as Drawing  # noqa: PLC0415 see above

    layout = "constrained" if has_layout else None
    return Drawing(figsize=(WIDTH, height), layout=layout)


def export(drawing: Drawing, *, name: str, title: str, caption: str, alt: str, note: str) -> Figure:
    """Return the figure in its three formats; `note` says what the data are, where a reader must know."""
    if note:
        _write_note(drawing, note)
        caption = f"{caption} ({note.capitalize()}.)"
    _place_parts(drawing)
    svg = compact_images(_save(drawing, "svg", name).decode())
    return Figure(
        name=name,
        title=title,
        caption=caption,
        alt=alt,
        svg=prepare_svg(svg, name=name, alt=alt, theme=THEME),
        pdf=_save(drawing, "pdf", name),
        png=_save(drawing, "png", name),
    )


def share_legend(drawing: Drawing, axes: Axes, *, columns: int = 6) -> None:
    """Draw the legend of one pair of axes below all of them."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = min(columns, len(handles))
        drawing.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=1.4)


def shorten(label: str, *, longest: int = 30) -> str:
    """Return a label that fits next to an axis; a long one keeps its two ends."""
    line = " ".join(label.split())
    if len(line) <= longest:
        return line
    head = (longest - 1) // 2
    tail = longest - 1 - head
    return f"{line[:head]}…{line[-tail:]}"


def join_names(names: Sequence[str]) -> str:
    """Return names for a sentence: up to eight of them, or the first seven and the number of others."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    first = names[: _MOST_NAMES - 1]
    return f"{', '.join(first)} and {len(names) - len(first)} more"


def _write_note(drawing: Drawing, note: str) -> None:
    # without a layout engine nothing keeps the note at the upper edge
    y = None if drawing.get_layout_engine() else 1 - 0.05 / drawing.get_figheight()
    drawing.suptitle(note, color=INK, fontsize=8, fontstyle="italic", x=0.99, y=y, ha="right")


def _place_parts(drawing: Drawing) -> None:
    """Place the parts of a drawing, once for all formats, and remove its engine, for which each is drawn twice."""
    engine = drawing.get_layout_engine()
    if engine is not None and drawing.axes:
        engine.execute(drawing)
    drawing.set_layout_engine(None)


def _save(drawing: Drawing, kind: Literal["svg", "pdf", "png"], name: str) -> bytes:
    """Return the file of one format; without dates, and with ids made from the name, it is the same each time."""
    import matplotlib as mpl  # noqa: PLC0415 see above

    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {}}
    paper = PAPER if kind == "png" else "none"
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        drawing.savefig(content, format=kind, dpi=_DPI, metadata=dates[kind], facecolor=paper)
    return content.getvalue()
