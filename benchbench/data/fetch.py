"""Downloads the files of a dataset with the clients of their hosts: kagglehub and pooch."""

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
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from benchbench.contract import Archive, Download
from benchbench.data.retry import retry
from benchbench.errors import DataError, PluginError
from benchbench.extras import require_extra
from benchbench.spec.file_names import inside

if TYPE_CHECKING:
    from requests import RequestException

T = TypeVar("T")

WAITS = (1.0, 4.0, 15.0, 60.0)
"""Seconds before each further attempt; a server can ask for more."""
LONGEST_WAIT = 300.0
_LARGEST_BYTES = 64 * 2**30
"""Size at which the download of an archive is stopped whose size is not published."""
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head")
_LOG_IN = "log in there with a browser and agree to what it asks"
_GONE = "it no longer exists: look for it on the dataset's page"
_ADVICE = {401: _LOG_IN, 403: _LOG_IN, 404: _GONE, 410: _GONE}
"""HTTP status -> what the user can do."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The files of one source: an archive, or a folder that the client has already unpacked."""

    path: Path
    source: str
    """Address or handle that the files came from."""
    version: str | None
    """Version that the host reported; None if it reports none."""
    folder: str = ""
    """Folder below the dataset's folder that the files go to."""


class _LimitedFile:
    """A file that refuses more bytes than were published: a server may send without end."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._written = 0

    def write(self, content: bytes) -> int:
        self._written += len(content)
        if self._written > self._most_bytes:
            raise ValueError(f"more than {self._most_bytes:,} bytes")
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Downloads into a folder that stays between attempts, so that complete files are not downloaded again."""

    folder: Path
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    """Prints a line about every wait."""
    progressbar: bool

    def fetch(self, download: Download) -> list[Fetched]:
        """Download every file of a dataset and compare it with its checksum.

        Raises:
            DataError: the network, the server or a checksum failed; names address and folder.
        UsageError: a download from Kaggle needs an extra that is not installed.
        """
        if download.kaggle:
            require_extra("kaggle", f"{self.folder}: the download from Kaggle")
        self.folder.mkdir(parents=True, exist_ok=True)
        if download.kaggle:
            return [self._kaggle(download.kaggle, download.kaggle_file)]
        return [self._archive(archive) for archive in download.archives]

    def _kaggle(self, handle: str, file: str | None) -> Fetched:
        """Download from Kaggle; an interrupted download continues, and kagglehub checks the MD5 of the server."""
        import kagglehub  # noqa: PLC0415 takes half a second, needed only for downloads

        logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it prints its own progress bar
        cache = self.folder / "kagglehub"

        def download() -> Path:
            with _environment("KAGGLEHUB_CACHE", str(cache)):
                path = Path(kagglehub.dataset_download(handle, path=file))
            _refuse_page(path)
            return path

        path = self._with_retries(download, address=f"https://www.kaggle.com/datasets/{handle}", target=cache)
        version = re.search(r"/versions/(\d+)", path.as_posix())
        source = f"kaggle:{handle}/{file}" if file else f"kaggle:{handle}"
        return Fetched(path=path, source=source, version=version[1] if version else None)

    def _archive(self, archive: Archive) -> Fetched:
        """Download an archive; an interrupted download starts again, a complete one is kept."""
        import pooch  # noqa: PLC0415 as above

        pooch.get_logger().setLevel(logging.WARNING)
        is_doi = archive.url.startswith("doi:")
        base, _, name = archive.url.rpartition("/")
        if not is_doi:
            # without ?download=1; urlsplit would drop unprintable characters, which are refused
            name = re.split("[?#]", archive.url)[0].rpartition("/")[2]
        target = inside(self.folder, name, error=PluginError)
        downloader_type = pooch.DOIDownloader if is_doi else pooch.HTTPDownloader
        urls = {} if is_doi else {name: archive.url}
        downloader = downloader_type(progressbar=self.progressbar, chunk_size=2**20)

        def download_file(url: str, file: str, client: Any) -> None:
            with Path(file).open("wb") as target:
                downloader(url, _LimitedFile(target, _most_bytes(archive)), client)
            _refuse_page(Path(file))

        def download() -> Path:
            client = pooch.create(
                path=self.folder, base_url=f"{base}/", registry={name: archive.digest}, urls=urls
            )
            with warnings.catch_warnings():
                # pooch warns that a DOI without version is the newest; the receipt stores what came
                warnings.simplefilter("ignore", UserWarning)
                if archive.digest is None:
                    client.load_registry_from_doi()
                return Path(client.fetch(name, downloader=download_file))

        path = self._with_retries(download, address=archive.url, target=target)
        return Fetched(path=path, source=archive.url, version=None, folder=archive.folder)

    def _with_retries(self, download: Callable[[], T], *, address: str, target: Path) -> T:
        """Return the result of `download`; remove `target` if its content cannot be used.

        Raises:
            DataError: every attempt failed, or the failure will not pass.
        """
        from requests import RequestException  # noqa: PLC0415 as above

        def wait(error: Exception, seconds: float) -> None:
            assert isinstance(error, RequestException), "only failed requests are transient"
            seconds = min(max(seconds, _requested_wait(error)), LONGEST_WAIT)
            self.say(f"{address}: {_describe(error)}; trying again in {seconds:.0f} s")
            self.sleep(seconds)

        try:
            return retry(download, waits=WAITS, is_transient=_is_transient, wait=wait)
        except RequestException as error:
            raise self._error(address, _describe(error), _advice(error)) from error
        except OSError as error:
            raise self._error(
                address, f"cannot write ({error})", "free disk space or correct the folder"
            ) from error
        except Exception as error:
            _remove(target)
            finding = f"the downloaded file is not the expected one ({_one_line(error)})"
            advice = "the same command downloads it again; if that fails too, see the page"
            raise self._error(address, finding, advice) from error

    def _error(self, address: str, finding: str, advice: str) -> DataError:
        return DataError(f"{address}: {finding}, expected the files for {self.folder.parent}; {advice}")


def _most_bytes(archive: Archive) -> int:
    """Return the size at which a download is stopped: a tenth more than the published one."""
    if archive.size_bytes is None:
        return _LARGEST_BYTES
    return archive.size_bytes + archive.size_bytes // 10


def _refuse_page(path: Path) -> None:
    """Raise ValueError if a proxy or a log-in sent a web page instead of a file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith(_PAGE_STARTS):
        raise ValueError("an HTML page, such as a proxy's or a log-in's")


def _is_transient(error: Exception) -> bool:
    from requests import RequestException, exceptions  # noqa: PLC0415 as above

    if not isinstance(error, RequestException):
        return False
    if error.response is not None:
        return error.response.status_code in _TRANSIENT_STATUS
    if isinstance(error, exceptions.SSLError):
        return False
    return isinstance(error, exceptions.ConnectionError | exceptions.Timeout | exceptions.ChunkedEncodingError)


def _requested_wait(error: RequestException) -> float:
    """Return the seconds that the server asks to wait; 0 if it names none, or a date."""
    if error.response is None:
        return 0.0
    seconds = error.response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _describe(error: RequestException) -> str:
    if error.response is None:
        return f"no answer ({type(error).__name__}: {_one_line(error)[:200]})"
    return f"the server answered {error.response.status_code}"


def _advice(error: RequestException) -> str:
    continues = "it continues from the files that are there"
    if error.response is None:
        return f"check the network and the proxy and give the command again: {continues}"
    return _ADVICE.get(error.response.status_code, f"give the command again later: {continues}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable within the block; kagglehub takes its folder from nowhere else."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
