"""`benchbench data cache`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli.options import cache_option

if TYPE_CHECKING:
    from benchbench.data.cache import Entry

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@click.group("cache")
def cache_command() -> None:
    """See and clear what is prepared from datasets."""


@cache_command.command("path")
@cache_option
def path(*, cache: Path) -> None:
    """Print where prepared and phantom data are kept."""
    click.echo(cache)


@cache_command.command("ls")
@cache_option
def ls(*, cache: Path) -> None:
    """List by kind and dataset how much is kept and when it was last used."""
    from benchbench.data.cache import entries  # noqa: PLC0415 after --help has answered

    found = entries(cache)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in found:
        groups.setdefault((entry.kind, entry.dataset), []).append(entry)
    for (kind, dataset), members in sorted(groups.items()):
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(entry.used for entry in members)))
        click.echo(f"{kind:<11} {dataset or '-':<12} {len(members):>6} {_size(members):>10}  last used {last}")
    click.echo(f"{len(found)} entries, {_size(found)} in {cache}")


@cache_command.command("prune")
@cache_option
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so long.")
@click.option("--keep", metavar="SIZE", help="The longest unused, until no more than this is left: 500M, 20G.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--force", is_flag=True, help="Also what may be in use: a running benchmark will fail.")
def prune(
    *, cache: Path, older_than: float | None, keep: str | None, everything: bool, dry_run: bool, force: bool
) -> None:
    """Remove prepared and phantom data by age or size, never what a benchmark is using.

    All of it is made anew when it is needed. What was used in the last hour, or since the benchmark that has been
    running longest began, stays.
    """
    from benchbench.data.cache import entries, in_use, removable, remove  # noqa: PLC0415 after --help has answered

    if everything == (older_than is not None or keep is not None):
        raise click.UsageError("say what to remove: --older-than DAYS, --keep SIZE or both, or --all")
    now = time.time()
    found = entries(cache)
    age = None if older_than is None else older_than * 86400
    chosen = removable(found, older_than_seconds=age, most_bytes=_bytes(keep), now=now)
    spared = set() if force else in_use(chosen, cache, now=now)
    doomed = [entry for entry in chosen if entry.path not in spared]
    if not dry_run:
        for entry in doomed:
            remove(entry)
    kept = f"; {len(spared)} more are in use (--force takes them too)" if spared else ""
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(doomed)} entries, {_size(doomed)}{kept}")


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise click.UsageError(f"--keep {text}: expected a size such as 500M or 20G")
    return int(float(match[1]) * _UNITS[match[2]])


def _size(found: list[Entry]) -> str:
    total = float(sum(entry.size_bytes for entry in found))
    for unit in ("B", "KiB", "MiB"):
        if total < 1024:
            return f"{total:.0f} {unit}"
        total /= 1024
    return f"{total:.1f} GiB"
