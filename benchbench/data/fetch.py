"""Brings the files of a dataset onto the disk with the clients of those who serve them: kagglehub and pooch."""

from __future__ import annotations

import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchbench.contract import Archive, Download
from benchbench.errors import DataError

if TYPE_CHECKING:
    from requests import RequestException

T = TypeVar("T")

WAITS = (1.0, 4.0, 15.0, 60.0)
"""Seconds before each further try; a server may ask for more."""
LONGEST_WAIT = 300.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What one source gave: an archive, or a folder that its client has unpacked."""

    path: Path
    source: str
    version: str | None
    folder: str = ""
    """Where it belongs below the dataset's folder."""


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches into a folder that is kept between tries, so that what has arrived need not come again."""

    folder: Path
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    """Is told of every wait."""
    progressbar: bool

    def fetch(self, download: Download) -> list[Fetched]:
        """Every file of a dataset, held against its checksum.

        Raises:
            DataError: the network, the server or the checksum is not as it must be; names address and folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if download.kaggle:
            return [self._kaggle(download.kaggle, download.kaggle_file)]
        return [self._archive(archive) for archive in download.archives]

    def _kaggle(self, handle: str, file: str | None) -> Fetched:
        """Goes on where an earlier try broke off; kagglehub compares the MD5 that the server sends."""
        import kagglehub  # noqa: PLC0415 half a second, and only where something is downloaded

        logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it shows a bar of its own
        cache = self.folder / "kagglehub"

        def get() -> Path:
            with _environment("KAGGLEHUB_CACHE", str(cache)):
                path = Path(kagglehub.dataset_download(handle, path=file))
            _refuse_page(path)
            return path

        path = self._tried(get, address=f"https://www.kaggle.com/datasets/{handle}", spoiled=cache)
        version = re.search(r"/versions/(\d+)", path.as_posix())
        source = f"kaggle:{handle}{f'/{file}' if file else ''}"
        return Fetched(path=path, source=source, version=version[1] if version else None)

    def _archive(self, archive: Archive) -> Fetched:
        """Starts again where an earlier try broke off; an archive that is there whole does not come again."""
        import pooch  # noqa: PLC0415 as above

        pooch.get_logger().setLevel(logging.WARNING)
        base, _, name = archive.url.rpartition("/")
        kind = pooch.DOIDownloader if base.startswith("doi:") else pooch.HTTPDownloader
        download = kind(progressbar=self.progressbar, chunk_size=2**20)

        def checked(url: str, file: str, client: Any) -> None:
            download(url, file, client)
            _refuse_page(Path(file))

        def get() -> Path:
            client = pooch.create(path=self.folder, base_url=f"{base}/", registry={name: archive.digest})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a DOI without version is its newest; see receipt
                if archive.digest is None:
                    client.load_registry_from_doi()
                return Path(client.fetch(name, downloader=checked))

        path = self._tried(get, address=archive.url, spoiled=self.folder / name)
        return Fetched(path=path, source=archive.url, version=None, folder=archive.folder)

    def _tried(self, get: Callable[[], T], *, address: str, spoiled: Path) -> T:
        """Tries again what may pass; removes `spoiled` where what arrived cannot be gone on with."""
        from requests import RequestException  # noqa: PLC0415 as above

        waits = iter(WAITS)
        while True:
            try:
                return get()
            except RequestException as error:
                pause = next(waits, None)
                if pause is None or not _may_pass(error):
                    raise self._error(address, *_told(error)) from error
                pause = min(max(pause, _asked_wait(error)), LONGEST_WAIT)
                self.say(f"{address}: {_told(error)[0]}; trying again in {pause:.0f} s")
                self.sleep(pause)
            except OSError as error:
                raise self._error(address, f"cannot write ({error})", "make room or mend the folder") from error
            except Exception as error:
                _remove(spoiled)
                found = f"what arrived is not what was expected ({' '.join(str(error).split())})"
                raise self._error(
                    address, found, "the same command fetches it anew; if it comes again, see the page"
                ) from error

    def _error(self, address: str, found: str, todo: str) -> DataError:
        return DataError(f"{address}: {found}, expected the files for {self.folder.parent}; {todo}")


def _refuse_page(path: Path) -> None:
    """Raises ValueError where a proxy or a log-in sent a page in place of a file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith(_PAGE_STARTS):
        raise ValueError("an HTML page, such as a proxy's or a log-in's")


def _may_pass(error: RequestException) -> bool:
    from requests import exceptions  # noqa: PLC0415 as above

    if error.response is not None:
        return error.response.status_code in _PASSING
    if isinstance(error, exceptions.SSLError):
        return False
    return isinstance(error, exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError)


def _asked_wait(error: RequestException) -> float:
    """Seconds that the server asks for; 0 where it asks for none, or for a date."""
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    return float(asked) if asked.isdecimal() else 0.0


def _told(error: RequestException) -> tuple[str, str]:
    """What was found and what to do."""
    if error.response is None:
        first = " ".join(str(error).split())[:200]
        return (
            f"no answer ({type(error).__name__}: {first})",
            "look at the network and the proxy and give the command again: it goes on from what is there",
        )
    code = error.response.status_code
    todo = {
        401: "log in there with a browser and agree to what it asks",
        403: "log in there with a browser and agree to what it asks",
        404: "it is not there any more: look for it on the dataset's page",
        410: "it is not there any more: look for it on the dataset's page",
    }
    return f"the server answered {code}", todo.get(
        code, "give the command again later: it goes on from what is there"
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Kagglehub knows no other way to be told its folder."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
