"""Downloads a dataset into its folder under the data root, which appears when it is whole and not before.

<data root>/.<name>.download/     what has arrived so far; kept between tries, removed at the end
<data root>/<name>/DOWNLOAD.json  where the files came from, when, and their digests
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchbench.contract import DatasetPlugin
from benchbench.data.fetch import Fetched, Fetcher
from benchbench.data.unpack import unpack
from benchbench.errors import DataError, UsageError

RECEIPT = "DOWNLOAD.json"
_RUBBISH = {"__MACOSX", ".DS_Store"}
"""What a Mac adds to an archive; it is not kept."""


def can_download(plugin: DatasetPlugin) -> bool:
    """Whether a program can get the files, or only a person."""
    return bool(plugin.download.kaggle or plugin.download.archives)


def download_dataset(
    plugin: DatasetPlugin,
    *,
    data_root: Path,
    say: Callable[[str], None],
    progressbar: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Gets all files of a dataset into `<data root>/<name>`; gives how many cases its reader finds there.

    Raises:
        UsageError: that folder holds something already, or another process is at it.
        DataError: the files cannot be had, are not what they should be, or their archive is refused.
    """
    target = data_root / plugin.name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: found something there, expected nothing; move it away to download again")
    work = data_root / f".{plugin.name}.download"
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            fetcher = Fetcher(folder=work / "fetched", sleep=sleep, say=say, progressbar=progressbar)
            found = fetcher.fetch(plugin.download)
            say(f"{plugin.name}: unpacking")
            cases = _assemble(plugin, found, work / "unpacked")
            if target.exists():
                target.rmdir()
            (work / "unpacked").rename(target)
            shutil.rmtree(work / "fetched")
    except Timeout as error:
        raise UsageError(f"{work}: another process downloads there; wait for it or stop it") from error
    shutil.rmtree(work)
    return cases


def _assemble(plugin: DatasetPlugin, found: list[Fetched], folder: Path) -> int:
    """Puts together what the reader then has to find its cases in."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sources = [_put(each, folder) for each in found]
    try:
        cases = len(plugin.open(folder).cases())
    except DataError as error:
        raise DataError(
            f"{plugin.name}: what was downloaded is not laid out as expected; it is kept in {folder}",
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


def _put(fetched: Fetched, folder: Path) -> dict[str, Any]:
    """Moves what a source gave to where it belongs; gives the source's part of the receipt."""
    described: dict[str, Any] = {"source": fetched.source, "version": fetched.version}
    part = folder.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    if fetched.path.is_dir():
        described["sha256_of_files"] = _tree_digest(fetched.path)
        shutil.copytree(fetched.path, part, copy_function=_link_or_copy)
    else:
        with fetched.path.open("rb") as file:
            described["sha256_of_archive"] = hashlib.file_digest(file, "sha256").hexdigest()
        described["bytes"] = fetched.path.stat().st_size
        unpack(fetched.path, part)
    names = {path.name for path in part.iterdir()} - _RUBBISH
    target = folder if not fetched.folder or names == {fetched.folder} else folder / fetched.folder
    target.mkdir(exist_ok=True)
    for name in names:
        if (target / name).exists():
            raise DataError(f"{fetched.path}: found {name}, which another archive has too, expected each once")
        (part / name).rename(target / name)
    shutil.rmtree(part)
    return described


def _tree_digest(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise DataError(f"{path}: found a link, expected plain files; delete {folder} to get it anew")
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _link_or_copy(source: str, target: str) -> None:
    """A second name for the same bytes where the file system has that: the first is kept until all is well."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
