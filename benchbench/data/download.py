"""Downloads a dataset into its folder below the data root; the folder appears only when it is complete.

<data root>/.<name>.download/     files downloaded so far; kept between attempts, removed at the end
<data root>/<name>/DOWNLOAD.json  sources, date and digests of the files
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchbench.contract import DatasetPlugin
from benchbench.data.fetch import Fetched, Fetcher
from benchbench.data.guarded import Guarded
from benchbench.data.unpack import unpack
from benchbench.errors import DataError, PluginError, UsageError
from benchbench.spec.file_names import inside

RECEIPT = "DOWNLOAD.json"
_IGNORED = {"__MACOSX", ".DS_Store"}
"""Files that macOS adds to an archive; they are not kept."""


def can_download(plugin: DatasetPlugin) -> bool:
    """Return True if a program can download the files, False if only a person can."""
    return bool(plugin.download.kaggle or plugin.download.archives)


def download_dataset(
    plugin: DatasetPlugin,
    *,
    data_root: Path,
    say: Callable[[str], None],
    progressbar: bool,
    may_be_nested: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Download all files of a dataset into `<data root>/<name>` and return the number of its cases.

    If they `may_be_nested`, a single folder that has all files and is not part of the layout is removed.

    Raises:
        UsageError: that folder is not empty, or another process downloads the dataset.
        DataError: the files cannot be downloaded, are not the expected ones, or their archive is refused.
    """
    target = data_root / plugin.name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: found something there, expected nothing; move it away to download again")
    work = data_root / f".{plugin.name}.download"
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            fetcher = Fetcher(folder=work / "fetched", sleep=sleep, say=say, progressbar=progressbar)
            fetched = fetcher.fetch(plugin.download)
            say(f"{plugin.name}: unpacking")
            cases = _assemble(plugin, fetched, work / "unpacked", may_be_nested=may_be_nested)
            if target.exists():
                target.rmdir()
            (work / "unpacked").rename(target)
            shutil.rmtree(work / "fetched")
    except Timeout as error:
        raise UsageError(f"{work}: another process downloads there; wait for it or stop it") from error
    shutil.rmtree(work)
    return cases


def _assemble(plugin: DatasetPlugin, fetched: Sequence[Fetched], folder: Path, *, may_be_nested: bool) -> int:
    """Unpack all sources into one folder, add the receipt, and return the number of cases in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sources = [_add(source, folder) for source in fetched]
    try:
        cases = _count_cases(plugin, folder, may_be_nested=may_be_nested)
    except DataError as error:
        raise DataError(
            f"{plugin.name}: the downloaded files do not have the expected layout; they are kept in {folder}",
            *error.problems,
        ) from error
    receipt = {
        "dataset": plugin.name,
        "licence": plugin.download.licence,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cases": cases,
        "sources": sources,
    }
    (folder / RECEIPT).write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
    return cases


def _count_cases(plugin: DatasetPlugin, folder: Path, *, may_be_nested: bool) -> int:
    """Return the number of cases in a folder; if only its one folder has cases, move that in its place.

    Raises:
        DataError: there are none.
    """
    try:
        return len(Guarded(plugin.name, plugin.open(folder)).cases())
    except DataError:
        inner = list(folder.iterdir())
        if not may_be_nested or len(inner) != 1 or not inner[0].is_dir():
            raise
    nested = folder.with_name("nested")
    shutil.rmtree(nested, ignore_errors=True)
    inner[0].rename(nested)
    folder.rmdir()
    nested.rename(folder)
    return len(Guarded(plugin.name, plugin.open(folder)).cases())


def _add(fetched: Fetched, folder: Path) -> dict[str, Any]:
    """Unpack a source and move its files to their place in the folder; return its entry for the receipt."""
    entry: dict[str, Any] = {"source": fetched.source, "version": fetched.version}
    part = folder.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    if fetched.path.is_dir():
        entry["sha256_of_files"] = _tree_digest(fetched.path)
        shutil.copytree(fetched.path, part, copy_function=_link_or_copy)
    else:
        with fetched.path.open("rb") as file:
            entry["sha256_of_archive"] = hashlib.file_digest(file, "sha256").hexdigest()
        entry["bytes"] = fetched.path.stat().st_size
        unpack(fetched.path, part)
    names = {path.name for path in part.iterdir()} - _IGNORED
    has_own_folder = names == {fetched.folder}
    target = folder
    if fetched.folder and not has_own_folder:
        target = inside(folder, fetched.folder, error=PluginError)
    target.mkdir(exist_ok=True)
    for name in names:
        if (target / name).exists():
            raise DataError(
                f"{fetched.path}: found {name}, which another archive contains too, expected it in one of them;"
                " report it to the maintainers of the dataset plugin"
            )
        (part / name).rename(target / name)
    shutil.rmtree(part)
    return entry


def _tree_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise DataError(f"{path}: found a link, expected plain files; delete {folder} to download it again")
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _link_or_copy(source: str, target: str) -> None:
    """Create a hard link, or a copy if there can be none; the source stays until the dataset is complete."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
