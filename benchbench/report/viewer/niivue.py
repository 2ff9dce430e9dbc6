"""niivue, a viewer of medical volumes for browsers, downloaded once from npm's registry and checked.

Source: Hanayik et al., https://github.com/niivue/niivue (BSD-2-Clause)
"""

from __future__ import annotations

import hashlib
import logging
import tarfile
from pathlib import Path

from benchbench.data.atomic import write_atomic
from benchbench.errors import DataError

VERSION = "0.69.0"
ADDRESS = f"https://registry.npmjs.org/@niivue/niivue/-/niivue-{VERSION}.tgz"
_ARCHIVE_SHA256 = "6e9a6a471b428eb3b258a0086beca9187d95e43a781a39e8a519c6da246af485"
_SCRIPT_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
_MEMBER = "package/dist/niivue.umd.js"


def fetch_niivue(cache: Path) -> bytes:
    """Return the script of niivue from the cache, or download it there.

    Raises:
        DataError: it cannot be downloaded, or is not the expected version.
    """
    path = cache / "niivue" / f"niivue-{VERSION}.js"
    if path.exists():
        script = path.read_bytes()
        if hashlib.sha256(script).hexdigest() == _SCRIPT_SHA256:
            return script
    script = _script_in(_download(path))
    write_atomic(path, script)
    return script


def _download(path: Path) -> Path:
    """Return the archive, next to the script that it has."""
    import pooch  # noqa: PLC0415 a third of a second that other commands do not pay

    pooch.get_logger().setLevel(logging.WARNING)
    known = f"sha256:{_ARCHIVE_SHA256}"
    try:
        return Path(pooch.retrieve(ADDRESS, known, fname=f"niivue-{VERSION}.tgz", path=path.parent))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: another digest
        raise DataError(
            f"{ADDRESS}: not downloaded ({type(error).__name__}); download it by hand, and save {_MEMBER} of the"
            f" archive as {path}"
        ) from error


def _script_in(archive: Path) -> bytes:
    with tarfile.open(archive) as content:
        member = content.extractfile(_MEMBER)
        assert member is not None, "an archive of this digest has the script"
        return member.read()
