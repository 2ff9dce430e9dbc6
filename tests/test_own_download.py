"""Datasets whose benchmark file names the address and the checksum of their files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from commands import Done, benchbench
from served import Answer, Web, web

from benchbench.spec.benchmark_file import DatasetEntry
from benchbench.spec.downloads import download_of, download_problems, normal_checksum
from benchbench_datasets.bids_phantom import write_phantom

SHA256 = "sha256:" + "0a" * 32


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("benchbench.data.fetch.WAITS", (0.0,))
    with web() as served:
        yield served


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Path -> content of two subjects in the layout of BIDS."""
    root = tmp_path / "made"
    root.mkdir()
    write_phantom(root, patients=2, size=32, seed=0, channels=("T1w",), regions={"lesion": 1})
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def zipped(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def get(tmp_path: Path, entry: Mapping[str, object], *words: str) -> Done:
    """Run `data get` with a benchmark file that has this entry."""
    keys = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
    (tmp_path / "stroke.toml").write_text(
        f'title = "Stroke"\ndatasets = [{{ name = "stroke", layout = "bids", {keys} }}]\n'
        'models = [{ name = "unet" }]\n[protocol]\npatch = [32, 32]\nepochs = 1\nbatch = 2\nloss = "bce"\n'
        'optimizer = { name = "adam", lr = 1e-3 }\n'
    )
    words = words or ("--accept-licence",)
    return benchbench("data", "get", "stroke.toml", "--data-root", tmp_path / "data", *words, cwd=tmp_path)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("folder", ["", "stroke-1.0/"])
def test_the_archive_of_a_benchmark_file_becomes_its_dataset(
    site: Web, tmp_path: Path, files: dict[str, bytes], folder: str
) -> None:
    content = tarred({folder + name: data for name, data in files.items()})
    url = site.serve("/files/v1.tar.gz", Answer(content)) + "?download=1"
    done = get(tmp_path, {"url": url, "checksum": sha256(content), "licence": "CC-BY-4.0"})
    assert done.returncode == 0, done.stderr
    assert f"stroke: {url}\nlicence: CC-BY-4.0\n" in done.stdout
    assert f"stroke: 2 cases in {tmp_path}/data/stroke; next: benchbench data verify stroke.toml" in done.stdout
    for name, data in files.items():
        assert (tmp_path / "data/stroke" / name).read_bytes() == data
    receipt = json.loads((tmp_path / "data/stroke/DOWNLOAD.json").read_text())
    assert receipt["sources"][0]["sha256_of_archive"] == sha256(content).removeprefix("sha256:")
    assert receipt["licence"] == "CC-BY-4.0"


def test_images_and_masks_may_be_in_two_archives(site: Web, tmp_path: Path, files: dict[str, bytes]) -> None:
    images = zipped({name: data for name, data in files.items() if not name.startswith("derivatives")})
    masks = zipped({name: data for name, data in files.items() if name.startswith("derivatives")})
    urls = [site.serve("/images.zip", Answer(images)), site.serve("/masks.zip", Answer(masks))]
    md5 = hashlib.md5(masks).hexdigest()  # noqa: S324 a checksum of a repository
    done = get(tmp_path, {"url": urls, "checksum": [sha256(images), f"md5:{md5}"]})
    assert done.returncode == 0, done.stderr
    assert "stroke: 2 cases" in done.stdout


def test_the_licence_is_asked_for(site: Web, tmp_path: Path, files: dict[str, bytes]) -> None:
    content = zipped(files)
    entry = {"url": site.serve("/a.zip", Answer(content)), "checksum": sha256(content)}
    printed = get(tmp_path, entry, "--by-hand")
    assert "licence: not named in the benchmark file" in printed.stdout
    assert site.count("/a.zip") == 0


def test_a_wrong_checksum_is_one_line(site: Web, tmp_path: Path, files: dict[str, bytes]) -> None:
    content = zipped(files)
    url = site.serve("/a.zip", Answer(content))
    done = get(tmp_path, {"url": url, "checksum": SHA256})
    (line,) = done.stderr.removeprefix("stroke: unpacking\n").strip().splitlines()
    assert done.returncode == 3
    assert line.startswith(f"error: {url}: the downloaded file is not the expected one (SHA256 hash")
    assert SHA256.removeprefix("sha256:") in line
    assert not (tmp_path / "data/stroke").exists()


def test_a_host_that_does_not_answer_is_one_line(site: Web, tmp_path: Path) -> None:
    done = get(tmp_path, {"url": "http://127.0.0.1:1/a.zip", "checksum": SHA256})
    waited, line = done.stderr.strip().splitlines()
    assert "trying again in 0 s" in waited
    assert line.startswith("error: http://127.0.0.1:1/a.zip: no answer (ConnectionError")
    assert "check the network and the proxy" in line
    assert not (tmp_path / "data/stroke").exists()


def test_an_archive_with_a_path_outside_the_folder_is_one_line(
    site: Web, tmp_path: Path, files: dict[str, bytes]
) -> None:
    content = zipped(files | {"../../evil.sh": b"x"})
    done = get(tmp_path, {"url": site.serve("/a.zip", Answer(content)), "checksum": sha256(content)})
    unpacking, line = done.stderr.strip().splitlines()
    assert unpacking == "stroke: unpacking"
    assert "'../../evil.sh': found a path that leads out of the folder" in line
    assert not (tmp_path / "data/stroke").exists()
    assert not list(tmp_path.rglob("evil.sh"))


def test_files_of_another_layout_are_kept_and_named(site: Web, tmp_path: Path) -> None:
    content = zipped({"x/readme.txt": b"x"})
    done = get(tmp_path, {"url": site.serve("/a.zip", Answer(content)), "checksum": sha256(content)})
    assert "stroke: the downloaded files do not have the expected layout; they are kept in" in done.stderr
    assert not (tmp_path / "data/stroke").exists()


def test_a_doi_names_its_file_and_needs_no_checksum() -> None:
    for text in (
        "10.5281/zenodo.123/a.zip",
        "doi:10.5281/zenodo.123/a.zip",
        "https://doi.org/10.5281/zenodo.123/a.zip",
    ):
        (archive,) = download_of(url="", doi=text, checksum="", licence="").archives
        assert (archive.url, archive.digest) == ("doi:10.5281/zenodo.123/a.zip", None)
    (archive,) = download_of(url="", doi="10.5281/zenodo.123/a.zip", checksum="AB" * 16, licence="").archives
    assert archive.digest == "md5:" + "ab" * 16


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("sha256:" + "0A" * 32, "sha256:" + "0a" * 32),
        ("0a" * 16, "md5:" + "0a" * 16),
        ("md5:" + "0a" * 32, ""),
        ("sha1:" + "0a" * 20, ""),
        ("sha256:xyz", ""),
        ("", ""),
    ],
)
def test_a_checksum_names_its_algorithm_or_its_length_does(text: str, normal: str) -> None:
    assert normal_checksum(text) == normal


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"url": "https://e.org/a.zip"}, "checksum: found none, expected that of the archive"),
        ({"url": "ftp://e.org/a.zip", "checksum": SHA256}, "url: found 'ftp://e.org/a.zip', expected the address"),
        ({"url": "https://e.org/", "checksum": SHA256}, "url: found 'https://e.org/', expected the address"),
        (
            {"url": "https://e.org/a.zip", "checksum": "abc"},
            "checksum: found 'abc', expected sha256: and 64, or md5:",
        ),
        (
            {"url": "https://e.org/a.zip", "checksum": [SHA256, SHA256]},
            "checksum: found 2, expected 1, one for each",
        ),
        ({"checksum": SHA256}, "checksum: found 1, expected 0, one for each address"),
        ({"doi": "10.5281/zenodo.1"}, "doi: found '10.5281/zenodo.1', expected DOI and file"),
        (
            {"url": "https://e.org/a.zip", "doi": "10.5281/zenodo.1/a.zip", "checksum": SHA256},
            "expected one of the two",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_the_benchmark_file(
    tmp_path: Path, entry: dict[str, object], problem: str
) -> None:
    done = get(tmp_path, entry)
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: stroke.toml:2: datasets.stroke")
    assert problem in line
    assert done.returncode == 2


def test_addresses_are_no_parameters_of_the_layout() -> None:
    entry = DatasetEntry(name="a", layout="bids", url="https://e.org/a.zip", checksum=SHA256)
    assert entry.params == {}
    assert not list(download_problems(url=entry.url, doi=entry.doi, checksum=entry.checksum))
