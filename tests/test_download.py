"""kagglehub's and pooch's own clients against a server on this machine."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from served import Answer, Web, md5_header, web

from benchbench import Archive, DataError, DatasetPlugin, Download
from benchbench.contract import OWN_FILES
from benchbench.data.download import can_download, download_dataset
from benchbench.data.fetch import WAITS
from benchbench.data.phantom import phantom_root
from benchbench.errors import UsageError
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

KAGGLE = "/api/v1/datasets.DatasetApiService/DownloadDataset"
HANDLE = "someone/squares/versions/4"

# kagglehub leaves the connection of a download that broke off to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Web]:
    """A server that is also the proxy on the way to Kaggle's API, which kagglehub looks for on this machine."""
    with web() as served:
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, served.address)
        for name in (
            "NO_PROXY",
            "no_proxy",
            "KAGGLE_USERNAME",
            "KAGGLE_KEY",
            "KAGGLE_API_TOKEN",
            "KAGGLEHUB_CACHE",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        # it inspects the source of every caller, which takes a second
        monkeypatch.setattr("kagglehub.clients.get_user_agent", lambda: "kagglehub")
        yield served
        gc.collect()


def squares_zip(root: Path, *, more: int = 0) -> bytes:
    """Three patients, and a file of so many bytes."""
    from toy_plugin import write_squares

    root.mkdir()
    write_squares(root, patients=3, size=32, seed=0)
    return zipped({"filler": bytes(more)} | {path.name: path.read_bytes() for path in root.iterdir()})


def zipped(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def plugin(download: Download, name: str = "squares") -> DatasetPlugin:
    return replace(discover([name if name != "squares" else "toy"]).dataset(name), download=download)


def by_address(url: str, content: bytes, **changes: Any) -> DatasetPlugin:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    archive = Archive(url=url, digest=digest, **changes)
    return plugin(Download(licence="CC0", page="https://example.org", archives=(archive,)))


def from_kaggle(handle: str = HANDLE) -> DatasetPlugin:
    return plugin(Download(licence="CC0", page="https://example.org", kaggle=handle))


class Recorder:
    """Downloads a dataset, and records the printed lines and the waits."""

    def __init__(self) -> None:
        self.printed: list[str] = []
        self.waited: list[float] = []

    def __call__(self, dataset_plugin: DatasetPlugin, root: Path) -> int:
        return download_dataset(
            dataset_plugin, data_root=root, say=self.printed.append, progressbar=False, sleep=self.waited.append
        )


@pytest.fixture
def get() -> Recorder:
    return Recorder()


def receipt(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "DOWNLOAD.json").read_text())
    return read


# archives by address ---------------------------------------------------------------------------------------------


def test_an_archive_becomes_a_dataset_with_a_receipt(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    dataset_plugin = by_address(site.serve("/squares.zip", Answer(content)), content)
    assert get(dataset_plugin, tmp_path / "data") == 3
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["squares"]
    written = receipt(tmp_path / "data" / "squares")
    assert (written["dataset"], written["licence"], written["cases"]) == ("squares", "CC0", 3)
    (source,) = written["sources"]  # type: ignore[misc]
    assert source["sha256_of_archive"] == hashlib.sha256(content).hexdigest()
    assert source["source"] == f"{site.address}/squares.zip"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_requests(
    site: Web, tmp_path: Path, get: Recorder, status: int
) -> None:
    content = squares_zip(tmp_path / "made")
    url = site.serve(
        "/a.zip", Answer(status=status, headers={"Retry-After": "7"}), Answer(status=status), Answer(content)
    )
    assert get(by_address(url, content), tmp_path / "data") == 3
    assert get.waited == [7, WAITS[1]]
    assert all(str(status) in line for line in get.printed[:2])


def test_a_busy_server_is_reported_in_one_line_with_address_and_folder(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    url = site.serve("/a.zip", Answer(status=503))
    with pytest.raises(DataError) as caught:
        get(by_address(url, b""), tmp_path / "data")
    (line,) = caught.value.problems
    assert url in line
    assert "503" in line
    assert str(tmp_path / "data" / ".squares.download") in line
    assert get.waited == list(WAITS)
    assert not (tmp_path / "data" / "squares").exists()


def test_a_missing_network_is_reported_in_one_line_with_advice(
    tmp_path: Path, get: Recorder, site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_plugin = by_address("http://127.0.0.1:1/a.zip", b"")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name)
    with pytest.raises(DataError, match=r"http://127.0.0.1:1/a.zip: no answer .* check the network") as caught:
        get(dataset_plugin, tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(get.waited) == len(WAITS)


@pytest.mark.parametrize(("status", "advice"), [(404, "no longer exists"), (403, "log in there")])
def test_a_permanent_refusal_is_not_retried(
    site: Web, tmp_path: Path, get: Recorder, status: int, advice: str
) -> None:
    with pytest.raises(DataError, match=advice):
        get(by_address(site.serve("/a.zip", Answer(status=status)), b""), tmp_path)
    assert get.waited == []


def test_the_web_page_of_a_proxy_is_recognised_and_removed(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    url = site.serve("/a.zip", Answer(b"<!DOCTYPE html><p>who are you?"), Answer(content))
    with pytest.raises(DataError, match="an HTML page"):
        get(by_address(url, content), tmp_path / "data")
    assert get(by_address(url, content), tmp_path / "data") == 3


def test_a_wrong_checksum_is_reported_and_the_next_attempt_starts_again(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    content = squares_zip(tmp_path / "made")
    url = site.serve("/a.zip", Answer(content[:-1] + b"?"), Answer(content))
    dataset_plugin = by_address(url, content)
    with pytest.raises(DataError, match=hashlib.sha256(content).hexdigest()):
        get(dataset_plugin, tmp_path / "data")
    assert not (tmp_path / "data" / "squares").exists()
    assert get(dataset_plugin, tmp_path / "data") == 3


def test_a_download_larger_than_published_is_stopped_and_removed(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    url = site.serve("/a.zip", Answer(content + bytes(5 * 2**20)), Answer(content))
    dataset_plugin = by_address(url, content, size_bytes=len(content))
    most = len(content) + len(content) // 10
    with pytest.raises(DataError, match=rf"not the expected one \(more than {most:,} bytes\)") as caught:
        get(dataset_plugin, tmp_path / "data")
    assert len(caught.value.problems) == 1
    assert sum(path.stat().st_size for path in tmp_path.glob("data/**/a.zip*")) == 0
    assert get(dataset_plugin, tmp_path / "data") == 3


def test_an_interrupted_download_is_retried(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    url = site.serve("/a.zip", Answer(content, cut_at=1000), Answer(content))
    assert get(by_address(url, content), tmp_path / "data") == 3
    assert get.waited == [WAITS[0]]


def test_a_complete_archive_is_not_downloaded_again(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    first = by_address(site.serve("/a.zip", Answer(content)), content)
    second = by_address(
        site.serve("/b.zip", Answer(status=404), Answer(zipped({"more/x": b"x"}))), zipped({"more/x": b"x"})
    )
    both = replace(
        first, download=replace(first.download, archives=first.download.archives + second.download.archives)
    )
    with pytest.raises(DataError, match="404"):
        get(both, tmp_path / "data")
    assert get(both, tmp_path / "data") == 3
    assert (site.count("/a.zip"), site.count("/b.zip")) == (1, 2)


def test_an_archive_with_a_path_outside_the_folder_leaves_no_dataset(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    content = zipped({"good.npz": b"x", "../../evil": b"x"})
    with pytest.raises(DataError, match="leads out of the folder"):
        get(by_address(site.serve("/a.zip", Answer(content)), content), tmp_path / "data")
    assert not (tmp_path / "data" / "squares").exists()
    assert not list(tmp_path.rglob("evil"))
    assert not list(tmp_path.rglob("good.npz"))


def test_an_archive_without_cases_leaves_no_dataset(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = zipped({"readme": b"x"})
    with pytest.raises(DataError, match="do not have the expected layout"):
        get(by_address(site.serve("/a.zip", Answer(content)), content), tmp_path / "data")
    assert not (tmp_path / "data" / "squares").exists()


def test_existing_files_are_never_overwritten(site: Web, tmp_path: Path, get: Recorder) -> None:
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares" / "mine").touch()
    with pytest.raises(UsageError, match="found something there"):
        get(by_address(site.serve("/a.zip", Answer()), b""), tmp_path)
    assert site.asked == []


def test_a_dataset_is_downloaded_by_one_process_at_a_time(site: Web, tmp_path: Path, get: Recorder) -> None:
    (tmp_path / ".squares.download").mkdir()
    with FileLock(tmp_path / ".squares.download" / "lock"), pytest.raises(UsageError, match="another process"):
        get(by_address(site.serve("/a.zip", Answer()), b""), tmp_path)


# a DOI -----------------------------------------------------------------------------------------------------------


def figshare(site: Web, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes], *, article: int) -> None:
    """figshare's answers about an article, and the way there from doi.org."""
    import requests

    listed = [
        {
            "name": name,
            "download_url": site.serve(f"/files/{article}/{name}", Answer(content)),
            "computed_md5": hashlib.md5(content).hexdigest(),  # noqa: S324
        }
        for name, content in files.items()
    ]
    site.serve_json("/v2/articles", [{"id": article, "doi": ""}])
    site.serve_json(f"/v2/articles/{article}", {"files": listed})
    site.serve_json(f"/v2/articles/{article}/versions/2", {"files": listed})
    real = requests.Session.request

    def request(self: requests.Session, method: str, url: str, **options: object) -> requests.Response:
        asked = urlsplit(url)
        if asked.netloc == "doi.org":
            site.serve(asked.path, Answer())
            answer = real(self, method, f"{site.address}{asked.path}", **options)  # type: ignore[arg-type]
            answer.url = f"https://figshare.com/articles/dataset/_/{article}"
            return answer
        if asked.netloc == "api.figshare.com":
            url = f"{site.address}{asked.path}"
        return real(self, method, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "request", request)


@pytest.mark.parametrize("version", ["", ".v2"])
@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_file_of_a_doi_is_compared_with_the_checksum_of_repository_or_plugin(
    site: Web, tmp_path: Path, get: Recorder, monkeypatch: pytest.MonkeyPatch, version: str, is_pinned: bool
) -> None:
    content = squares_zip(tmp_path / "made")
    figshare(site, monkeypatch, {"squares.zip": content}, article=77)
    digest = f"md5:{hashlib.md5(content).hexdigest()}" if is_pinned else None  # noqa: S324
    archive = Archive(url=f"doi:10.6084/m9.figshare.77{version}/squares.zip", digest=digest)
    dataset_plugin = plugin(Download(licence="CC0", page="https://example.org", archives=(archive,)))
    assert get(dataset_plugin, tmp_path / "data") == 3
    damaged = content[:-30] + bytes(30)
    site.serve("/files/77/squares.zip", Answer(damaged))
    with pytest.raises(DataError, match="does not match the known hash"):
        get(dataset_plugin, tmp_path / "again")


# Kaggle ----------------------------------------------------------------------------------------------------------


def kaggle(site: Web, *answers: Answer) -> None:
    """Kaggle's API, which sends on to a storage that gives these answers."""
    site.serve(KAGGLE, Answer(status=302, headers={"Location": f"{site.address}/storage"}))
    site.serve("/storage", *answers)


def test_kagglehub_downloads_a_dataset_without_an_account(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made")
    kaggle(site, Answer(content, headers=md5_header(content)))
    assert get(from_kaggle(), tmp_path / "data") == 3
    (source,) = receipt(tmp_path / "data" / "squares")["sources"]  # type: ignore[misc]
    assert (source["source"], source["version"]) == (f"kaggle:{HANDLE}", "4")
    assert re.fullmatch("[0-9a-f]{64}", source["sha256_of_files"])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["squares"]
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_the_receipt_of_a_handle_without_version_names_the_version(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    content = squares_zip(tmp_path / "made")
    site.serve_json(KAGGLE.replace("DownloadDataset", "GetDataset"), {"currentVersionNumber": 9})
    kaggle(site, Answer(content))
    get(from_kaggle("someone/squares"), tmp_path / "data")
    assert receipt(tmp_path / "data" / "squares")["sources"][0]["version"] == "9"  # type: ignore[index]


@pytest.mark.slow
def test_an_interrupted_download_from_kaggle_continues(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = squares_zip(tmp_path / "made", more=3 * 2**20)
    whole = Answer(content, headers=md5_header(content), ranges=True)
    kaggle(site, replace(whole, cut_at=5 * 2**19), whole)  # it writes by the MiB
    assert get(from_kaggle(), tmp_path / "data") == 3
    assert get.waited == [WAITS[0]]
    assert ("GET", "/storage", f"bytes={2 * 2**20}-") in site.asked


@pytest.mark.slow
def test_a_file_that_changed_during_an_interruption_is_downloaded_again(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    content = squares_zip(tmp_path / "made", more=3 * 2**20)
    old = Answer(bytes(len(content)), headers=md5_header(bytes(len(content))), ranges=True)
    new = Answer(content, headers=md5_header(content), ranges=True)
    kaggle(site, replace(old, cut_at=5 * 2**19), new)
    with pytest.raises(DataError, match=r"not the expected one .*MD5"):
        get(from_kaggle(), tmp_path / "data")
    assert get(from_kaggle(), tmp_path / "data") == 3


@pytest.mark.slow
def test_a_web_page_in_place_of_kaggles_archive_does_not_affect_the_next_attempt(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    content = squares_zip(tmp_path / "made")
    kaggle(site, Answer(b"<html>sign in", ranges=True))
    with pytest.raises(DataError, match="not the expected one"):
        get(from_kaggle(), tmp_path / "data")
    kaggle(site, Answer(content, ranges=True))
    assert get(from_kaggle(), tmp_path / "data") == 3


@pytest.mark.parametrize(("status", "advice"), [(403, "log in there"), (404, "no longer exists")])
def test_a_refusal_of_kaggle_is_reported_with_advice(
    site: Web, tmp_path: Path, get: Recorder, status: int, advice: str
) -> None:
    site.serve(KAGGLE, Answer(status=status))
    with pytest.raises(DataError, match=advice) as caught:
        get(from_kaggle(), tmp_path / "data")
    assert f"https://www.kaggle.com/datasets/{HANDLE}" in str(caught.value)


# the layouts of the real archives --------------------------------------------------------------------------------


def phantom_files(name: str, tmp_path: Path) -> dict[str, bytes]:
    made = discover([name]).dataset(name)
    root = phantom_root(made, PhantomSize(patients=3, size=32), cache=tmp_path / "cache") / name
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {path: content for path, content in files.items() if path != "PHANTOM.json"}


def below(files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    """Return the files below a folder of this name, without the folders that they were in before."""
    return {f"{folder}/{re.sub('^(.*?)(?=[^/]*/[^/]*$)', '', path)}": content for path, content in files.items()}


def test_lgg_is_found_in_its_archive_that_contains_everything_twice(
    site: Web, tmp_path: Path, get: Recorder
) -> None:
    files = {path: data for path, data in phantom_files("lgg", tmp_path).items() if path.startswith("kaggle_3m/")}
    twice = files | {f"lgg-mri-segmentation/{path}": content for path, content in files.items()}
    content = zipped(twice)
    kaggle(site, Answer(content, headers=md5_header(content)))
    assert get(discover(["lgg"]).dataset("lgg"), tmp_path / "data") == 3


@pytest.mark.slow
def test_brats20_is_found_in_the_nested_folder_of_its_archive(site: Web, tmp_path: Path, get: Recorder) -> None:
    files = phantom_files("brats20", tmp_path)
    patients = {path: data for path, data in files.items() if "BraTS20_Training_" in path}
    nested = below(patients, "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData")
    nested["BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData/BraTS20_Validation_001/x.nii"] = b"x"
    content = zipped(nested)
    kaggle(site, Answer(content, headers=md5_header(content)))
    assert get(discover(["brats20"]).dataset("brats20"), tmp_path / "data") == 3


@pytest.mark.slow
def test_brats21_is_found_in_one_of_the_tars_of_its_archive(site: Web, tmp_path: Path, get: Recorder) -> None:
    content = tarred(phantom_files("brats21", tmp_path))
    kaggle(site, Answer(content, headers=md5_header(content)))
    dataset_plugin = discover(["brats21"]).dataset("brats21")
    assert get(dataset_plugin, tmp_path / "data") == 3
    (source,) = receipt(tmp_path / "data" / "brats21")["sources"]  # type: ignore[misc]
    assert source["sha256_of_archive"] == hashlib.sha256(content).hexdigest()
    assert source["source"].endswith("/versions/1/BraTS2021_Training_Data.tar")


@pytest.mark.slow
@pytest.mark.parametrize("is_flat", [True, False])
def test_hvsmr2_is_found_whether_or_not_its_archives_name_their_folder(
    site: Web, tmp_path: Path, get: Recorder, monkeypatch: pytest.MonkeyPatch, is_flat: bool
) -> None:
    files = phantom_files("hvsmr2", tmp_path)
    dataset_plugin = discover(["hvsmr2"]).dataset("hvsmr2")
    archives = []
    for archive in dataset_plugin.download.archives:
        name = archive.url.rpartition("/")[2]
        mine = {path: data for path, data in files.items() if path.startswith(f"{archive.folder}/")}
        rubbish = {"__MACOSX/._x": b"x"}
        content = zipped(
            {path.rpartition("/")[2] if is_flat else path: data for path, data in mine.items()} | rubbish
        )
        digest = f"md5:{hashlib.md5(content).hexdigest()}"  # noqa: S324
        archives.append(replace(archive, url=site.serve(f"/{name}", Answer(content)), digest=digest))
    local = replace(dataset_plugin, download=replace(dataset_plugin.download, archives=tuple(archives)))
    assert get(local, tmp_path / "data") == 3
    assert len(local.open(tmp_path / "data" / "hvsmr2", normalised=True).cases()) == 3


def test_every_dataset_has_a_pinned_download_or_manual_steps() -> None:
    for installed in discover().datasets.values():
        download = installed.plugin.download
        if installed.plugin.name == "squares" or download is OWN_FILES:
            continue
        assert can_download(installed.plugin) or download.steps
        assert download.kaggle is None or re.fullmatch(r"[^/]+/[^/]+/versions/\d+", download.kaggle)
        assert all(archive.digest or archive.url.startswith("doi:") for archive in download.archives)
        assert download.patients
