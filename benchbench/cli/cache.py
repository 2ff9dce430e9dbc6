"""`benchbench data cache`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli import NearestGroup
from benchbench.cli.options import cache_option

if TYPE_CHECKING:
    from benchbench.data.cache import Entry

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SECONDS_PER_DAY = 86_400


@click.group("cache", cls=NearestGroup)
def cache_command() -> None:
    """Inspect and clear the cache of prepared and phantom data."""


@cache_command.command("path")
@cache_option
def path(*, cache: Path) -> None:
    """Print the folder of prepared and phantom data."""
    click.echo(cache)


@cache_command.command("ls")
@cache_option
def ls(*, cache: Path) -> None:
    """List the entries by kind and dataset: number, size and time of last use."""
    from benchbench.cli.terminal import Column, print_table  # noqa: PLC0415 printing only
    from benchbench.data.cache import entries  # noqa: PLC0415 after --help has answered
    from benchbench.words import count  # noqa: PLC0415 as above

    stored = entries(cache)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in stored:
        group = (entry.kind, entry.dataset or "-")
        groups.setdefault(group, []).append(entry)
    names = ("kind", "dataset", "entries", "size", "last used")
    columns = [Column(name=name, is_number=name in {"entries", "size"}, is_fixed=True) for name in names]
    rows = []
    for (kind, dataset), members in sorted(groups.items()):
        rows.append([kind, dataset, len(members), _total_size(members), _last_use(members)])
    print_table(columns, rows)
    total = _total_size(stored)
    click.echo(f"{count(len(stored), 'entry')}, {total} in {cache}")


@cache_command.command("prune")
@cache_option
@click.option(
    "--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Remove entries unused for so many days."
)
@click.option(
    "--keep", metavar="SIZE", help="Remove the longest unused entries until this size is left, e.g. 500M, 20G."
)
@click.option("--all", "everything", is_flag=True, help="Remove all entries.")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@click.option("--force", is_flag=True, help="Also remove entries in use; running benchmarks will fail.")
def prune(
    *, cache: Path, older_than: float | None, keep: str | None, everything: bool, dry_run: bool, force: bool
) -> None:
    """Remove prepared and phantom data by age or size.

    Benchmarks create removed entries again when they need them. Entries in use are kept: those used in the last
    hour, or since the start of the oldest benchmark that is still running.
    """
    from benchbench.words import count  # noqa: PLC0415 after --help has answered

    has_condition = older_than is not None or keep is not None
    if everything == has_condition:
        raise click.UsageError("choose what to remove: --older-than DAYS, --keep SIZE or both, or --all")
    age_seconds = None if older_than is None else older_than * _SECONDS_PER_DAY
    most_bytes = None if keep is None else _parse_size(keep)
    removed, in_use = _select(cache, age_seconds, most_bytes, force=force)
    if not dry_run:
        _remove_all(removed)
    action = "would remove" if dry_run else "removed"
    note = f"; {len(in_use)} more in use (--force removes them too)" if in_use else ""
    click.echo(f"{action} {count(len(removed), 'entry')}, {_total_size(removed)}{note}")


def _select(
    cache: Path, age_seconds: float | None, most_bytes: int | None, *, force: bool
) -> tuple[list[Entry], set[Path]]:
    """Return the entries to remove, and the paths of those that meet the conditions but are in use."""
    from benchbench.data.cache import entries, in_use, removable  # noqa: PLC0415 after --help has answered

    now = time.time()
    selected = removable(entries(cache), older_than_seconds=age_seconds, most_bytes=most_bytes, now=now)
    spared = set() if force else in_use(selected, cache, now=now)
    return [entry for entry in selected if entry.path not in spared], spared


def _remove_all(selected: Sequence[Entry]) -> None:
    from benchbench.data.cache import remove  # noqa: PLC0415 as above

    for entry in selected:
        remove(entry)


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise click.UsageError(f"--keep {text}: expected a size such as 500M or 20G")
    return int(float(match[1]) * _UNITS[match[2]])


def _last_use(entries: Sequence[Entry]) -> str:
    seconds = max(entry.used for entry in entries)
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _total_size(entries: Sequence[Entry]) -> str:
    total = float(sum(entry.size_bytes for entry in entries))
    for unit in ("B", "KiB", "MiB"):
        if total < 1024:
            return f"{total:.0f} {unit}"
        total /= 1024
    return f"{total:.1f} GiB"
