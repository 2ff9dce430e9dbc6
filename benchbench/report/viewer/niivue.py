"""niivue, a viewer of medical volumes for browsers, downloaded once from a public copy of npm and checked.

Source: Hanayik et al., https://github.com/niivue/niivue (BSD-2-Clause)
"""

from __future__ import annotations

import logging
from pathlib import Path

from benchbench.errors import DataError

VERSION = "0.69.0"
ADDRESS = f"https://cdn.jsdelivr.net/npm/@niivue/niivue@{VERSION}/dist/niivue.umd.js"
_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"


def fetch_niivue(cache: Path) -> bytes:
    """Return the script of niivue from the cache, or download it there.

    Raises:
        DataError: it cannot be downloaded, or is not the expected version.
    """
    import pooch  # noqa: PLC0415 a third of a second that other commands do not pay

    pooch.get_logger().setLevel(logging.WARNING)
    path = cache / "niivue" / f"niivue-{VERSION}.js"
    try:
        pooch.retrieve(ADDRESS, f"sha256:{_SHA256}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: another digest
        raise DataError(
            f"{ADDRESS}: not downloaded ({type(error).__name__}); download it by hand and save it as {path}"
        ) from error
    return path.read_bytes()
