"""The report of a results folder, made again from its records and compared byte for byte."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchbench.records.digest_list import DIGEST_LIST_NAME, has_digest_list
from benchbench.records.folder import MANIFEST_NAME, ResultsFolder
from benchbench.report import write_report
from benchbench.words import count

_TABLES = (".csv", ".md", ".tex", ".json")
_PAGE = "index.html"
_DRAWN = re.compile(r"<svg.*?</svg>", re.DOTALL)
_NOT_OF_THE_REPORT = ("jobs.json", "index.md", DIGEST_LIST_NAME)
_LONGEST = 80  # characters of a line in a fault


class ReportComparison(NamedTuple):
    """The comparison of a report with one that was made again."""

    recomputed: list[str]
    faults: list[str]


def compare_report(folder: ResultsFolder) -> ReportComparison:
    """Make the report again in a temporary folder and compare its files with those of the results.

    Tables and the text of the page are compared byte for byte. Figures depend on the version of matplotlib: in a
    published folder, whose list of digests has them, other bytes are no fault.

    Raises:
        IntegrityError: the report cannot be made from the records.
    """
    with tempfile.TemporaryDirectory() as temporary:
        again = ResultsFolder(Path(temporary) / folder.path.resolve().name)
        shutil.copytree(folder.path / "runs", again.path / "runs")
        shutil.copyfile(folder.path / MANIFEST_NAME, again.path / MANIFEST_NAME)
        has_galleries = any(folder.path.glob("figures/gallery*"))
        write_report(again, pictures=has_galleries)
        return _compare(folder, again)


def _compare(folder: ResultsFolder, again: ResultsFolder) -> ReportComparison:
    claimed, recomputed = _report_files(folder.path), _report_files(again.path)
    faults: list[str] = []
    tables = figures = redrawn = 0
    for name in sorted(claimed | recomputed):
        path = folder.path / name
        if name not in claimed:
            faults.append(f"{path}: missing, but the report has it; `benchbench report` writes it")
        elif name not in recomputed:
            faults.append(f"{path}: found a file that the report of these records does not have")
        elif name.endswith(_TABLES):
            tables += 1
            faults += _line_faults(path, path.read_bytes(), (again.path / name).read_bytes())
        elif name == _PAGE:
            faults += _line_faults(path, _without_drawings(path), _without_drawings(again.path / name))
        else:
            figures += 1
            is_equal = path.read_bytes() == (again.path / name).read_bytes()
            redrawn += is_equal
            if not is_equal and not has_digest_list(folder):
                faults.append(f"{path}: not the figure that these records give here")
    lines = [f"{count(tables, 'table')} and the text of the page from the counts of the cases"]
    if figures:
        lines.append(f"{redrawn} of {count(figures, 'file')} of figures, with the same bytes")
    return ReportComparison(lines, faults)


def _report_files(folder: Path) -> set[str]:
    names: set[str] = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        is_input = name.startswith(("runs/", "viewer/")) or name in {MANIFEST_NAME, *_NOT_OF_THE_REPORT}
        if path.is_file() and not is_input and not path.name.startswith("."):
            names.add(name)
    return names


def _without_drawings(page: Path) -> bytes:
    return _DRAWN.sub("", page.read_text(encoding="utf-8")).encode()


def _line_faults(path: Path, claimed: bytes, recomputed: bytes) -> Iterator[str]:
    """Yield the first line that differs, and how many differ in all."""
    if claimed == recomputed:
        return
    lines, expected = claimed.split(b"\n"), recomputed.split(b"\n")
    longest = max(len(lines), len(expected))
    lines += [b""] * (longest - len(lines))
    expected += [b""] * (longest - len(expected))
    differing = [number for number in range(longest) if lines[number] != expected[number]]
    first = differing[0]
    more = f" ({count(len(differing), 'line')} differ)" if len(differing) > 1 else ""
    yield (
        f"{path}: line {first + 1}: found {_excerpt(lines[first], expected[first])}, recomputed"
        f" {_excerpt(expected[first], lines[first])}{more}"
    )


def _excerpt(line: bytes, other: bytes) -> str:
    """Return the part of a line around its first difference from another."""
    text, other_text = line.decode(errors="replace"), other.decode(errors="replace")
    start = 0
    while start < min(len(text), len(other_text)) and text[start] == other_text[start]:
        start += 1
    start = max(0, start - _LONGEST // 2)
    return repr(text[start : start + _LONGEST])
