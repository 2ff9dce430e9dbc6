"""The look of all figures, and how one becomes SVG, PDF and PNG of the same bytes each time.

matplotlib is imported when something is drawn: half a second that no other command pays.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbench.report.figures.embedded import compacted
from benchbench.report.figures.svg import themed
from benchbench.tables.results import PHANTOM_NOTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

INK, PAPER, MUTED = "#1b1f24", "#ffffff", "#8a8f98"
# told apart by people who see few colours, and on light and dark paper; Tol 2021, "bright"
SERIES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
THEME = {
    INK: "currentColor",
    PAPER: f"var(--figure-paper, {PAPER})",
    MUTED: f"var(--figure-muted, {MUTED})",
    **{colour: f"var(--series-{number}, {colour})" for number, colour in enumerate(SERIES, start=1)},
}
"""Colour -> what stands for it in SVG, so that a page can set others in light and in dark."""

WIDTH = 7.0
"""Inches: across a printed page."""
_DPI = 150
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
    "figure.dpi": _DPI,  # letters of another size would not fit into what was laid out
    "figure.facecolor": "none",
    "font.size": 8,
    "grid.alpha": 0.35,
    "grid.color": MUTED,
    "grid.linewidth": 0.4,
    "image.composite_image": False,  # each by itself, so that a page has what is equal once
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
    """A figure for a page and as files."""

    name: str
    title: str
    caption: str
    alt: str
    """What is seen, for those who do not see it."""
    svg: str
    pdf: bytes
    png: bytes

    @property
    def standalone(self) -> str:
        """The SVG as a file of its own."""
        return f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg}'


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Everything is drawn alike, whatever the machine's own settings of matplotlib are."""
    import matplotlib as mpl  # noqa: PLC0415 see above

    with mpl.rc_context(), warnings.catch_warnings():
        # a browser has the letters that the font of the PNG lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def canvas(height: float, *, is_arranged: bool = False) -> Drawing:
    """An empty figure, as wide as a page and so many inches high; whoever arranges it has no need of a layout."""
    from matplotlib.figure import Figure as Drawing  # noqa: PLC0415 see above

    return Drawing(figsize=(WIDTH, height), layout=None if is_arranged else "constrained")


def finish(drawing: Drawing, *, name: str, title: str, caption: str, alt: str, phantom: bool) -> Figure:
    """The figure in its three formats; one of phantom data says so in itself."""
    if phantom:
        top = None if drawing.get_layout_engine() else 1 - 0.05 / drawing.get_figheight()
        drawing.suptitle(PHANTOM_NOTE, color=INK, fontsize=8, fontstyle="italic", x=0.99, y=top, ha="right")
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")  # laid out once, not for each format
    return Figure(
        name=name,
        title=title,
        caption=f"{caption} ({PHANTOM_NOTE.capitalize()}.)" if phantom else caption,
        alt=alt,
        svg=themed(compacted(_bytes(drawing, "svg", name).decode()), name=name, alt=alt, theme=THEME),
        pdf=_bytes(drawing, "pdf", name),
        png=_bytes(drawing, "png", name),
    )


def share_legend(drawing: Drawing, axes: Axes, *, columns: int = 6) -> None:
    """One legend under all axes."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        drawing.legend(
            handles, labels, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=1.4
        )


def short(label: str, *, longest: int = 30) -> str:
    """A label that fits beside an axis; of a long one its two ends."""
    line = " ".join(label.split())
    if len(line) <= longest:
        return line
    head = (longest - 1) // 2
    return f"{line[:head]}…{line[head + 1 - longest :]}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence; of many the first and how many more."""
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])} and {len(names) - 7} more"


def _bytes(drawing: Drawing, kind: str, name: str) -> bytes:
    import matplotlib as mpl  # noqa: PLC0415 see above

    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {}}
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        paper = PAPER if kind == "png" else "none"
        drawing.savefig(content, format=kind, dpi=_DPI, metadata=dates[kind], facecolor=paper)
    return content.getvalue()
