"""The door to files of users: what is refused before it is opened or decoded, and how every failure is named."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from commands import benchbench
from lgg_patients import PATIENT, write_patient

from benchbench import DataError
from benchbench.data.digests import file_digest
from benchbench.data.verify import verify
from benchbench.errors import UsageError
from benchbench.images import input_files
from benchbench.images.input_files import LIMIT_VARIABLE, read_file, read_text
from benchbench.images.label_maps import READERS, read_label_map
from benchbench_datasets.acdc import Acdc
from benchbench_datasets.lgg import Lgg

LABELS = np.array([[0, 1, 2], [4, 0, 1]], np.uint8)


def refusal(read: Callable[[], object]) -> str:
    """Return the one problem of a file, which is one line."""
    with pytest.raises(DataError) as caught:
        read()
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return str(problem)


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (zlib.error("Error -3\nwhile decompressing"), "found a file that cannot be read (error: Error -3)"),
        (struct.error("unpack requires 4 bytes"), "(error: unpack requires 4 bytes)"),
        (KeyError(259), "(KeyError: 259)"),
        (TypeError(), "(TypeError)"),
        (AssertionError(), "(AssertionError)"),
        (RecursionError("too deep"), "(RecursionError: too deep)"),
        (
            FileNotFoundError(2, "No such file"),
            "found no such file, expected a map; copy it there or correct the path",
        ),
        (PermissionError(13, "Permission denied"), "found a file without permission to read it"),
        (MemoryError(), "found a file that needs more memory than is free, expected a map that fits; free memory"),
    ],
)
def test_whatever_a_reader_raises_names_the_file_in_one_line(
    tmp_path: Path, error: Exception, finding: str
) -> None:
    path = tmp_path / "a.x"
    path.write_bytes(b"x")

    def fail(_: Path) -> None:
        raise error

    problem = refusal(lambda: read_file(path, fail, kind="a map"))
    assert re.fullmatch(rf"{re.escape(str(path))}: found .+, expected a map.*; .+", problem)
    assert finding in problem


def unusual(path: Path, kind: str) -> None:
    """Create a file that is no regular one."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("absent")
    else:
        path.touch()


KINDS = {
    "pipe": "found a pipe, socket or device",
    "device": "found a pipe, socket or device",
    "folder": "found a folder",
    "link": "found a broken link to absent",
    "empty": "found an empty file",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", READERS)
def test_no_format_opens_a_file_that_is_none(tmp_path: Path, suffix: str, kind: str) -> None:
    if suffix.endswith("nrrd"):
        pytest.importorskip("nrrd")
    path = tmp_path / f"a{suffix}"
    unusual(path, kind)
    assert refusal(lambda: read_label_map(path)).startswith(f"{path}: {KINDS[kind]}, expected a")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_verifying_and_fingerprints_open_no_pipe_and_no_device(tmp_path: Path, kind: str) -> None:
    slices = write_patient(tmp_path / "kaggle_3m")
    path = slices / f"{PATIENT}_5_mask.tif"
    path.unlink()
    unusual(path, kind)
    dataset = Lgg(tmp_path)
    (problem,) = verify(dataset, threads=1, progress=lambda: None).problems
    assert problem == f"{path}: found a pipe, socket or device, expected a file of a dataset; copy the file there"
    assert refusal(lambda: file_digest(dataset.files(PATIENT))) == problem


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_conversion_opens_no_pipe_and_no_device(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pth"
    unusual(path, kind)
    done = benchbench("convert", "mask_dino", path, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"{path}: found a pipe, socket or device" in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link"])
def test_a_table_of_patients_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    write_patient(tmp_path / "kaggle_3m")
    unusual(tmp_path / "kaggle_3m" / "data.csv", kind)
    assert refusal(Lgg(tmp_path).metadata).startswith(f"lgg: kaggle_3m/data.csv: {KINDS[kind]}")
    patient = tmp_path / "patient001"
    patient.mkdir()
    (patient / "patient001_frame01.nii.gz").touch()
    unusual(patient / "Info.cfg", kind)
    assert refusal(Acdc(tmp_path).metadata).startswith(f"acdc: patient001/Info.cfg: {KINDS[kind]}")


def test_a_text_that_is_too_long_or_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b")
    assert read_text(path, kind="a table") == "a,b"
    path.write_bytes(b"\xff\xfe")
    assert "UnicodeDecodeError" in refusal(lambda: read_text(path, kind="a table"))
    monkeypatch.setattr(input_files, "TEXT_LIMIT_BYTES", 1)
    assert "found 2 bytes, expected a table of at most 1" in refusal(lambda: read_text(path, kind="a table"))


# sizes


def png_header(width: int, height: int, *, depth: int = 8) -> bytes:
    """Return a PNG file of zeros; only its header is as large as it says."""
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def test_a_png_larger_than_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.images.png.PngImageFile", None)
    for size in (30_000, 100_000):
        (tmp_path / "a.png").write_bytes(png_header(size, size))
        problem = refusal(lambda: read_label_map(tmp_path / "a.png"))
        assert f"found {size} x {size} pixels of 8 bits, expected at most 268,435,456; " in problem
        assert problem.endswith("or raise the limit with --size-limit GIB")
    (tmp_path / "a.png").write_bytes(png_header(10_000, 10_000))
    assert "found 10000 x 10000 pixels of 8 bits in" in refusal(lambda: read_label_map(tmp_path / "a.png"))


def tiff_of(side: int, path: Path) -> Path:
    """Write a compressed TIFF whose header says that it is a square of this side."""
    tifffile.imwrite(path, LABELS, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(side, dtype="I")
    return path


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed and reads these files")
@pytest.mark.parametrize("number", [5, 7, 4, 50000], ids=["LZW", "JPEG", "CCITT", "ZSTD"])
def test_a_compressed_tiff_names_the_extra_that_reads_it(tmp_path: Path, number: int) -> None:
    name = tifffile.COMPRESSION(number).name
    tifffile.imwrite(tmp_path / "a.tif", LABELS, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(number)
    problem = refusal(lambda: read_label_map(tmp_path / "a.tif"))
    assert f"found pixels stored in a way ({name}) that needs the package imagecodecs" in problem
    assert problem.endswith(
        "expected none, zlib or packbits where it is not installed; pip install 'benchbench[tiff]'"
    )


def test_a_tiff_larger_than_the_limit_or_its_file_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.images.tiff._decode", None)
    problem = refusal(lambda: read_label_map(tiff_of(220_000, tmp_path / "a.tif")))  # 48 GB
    assert "found 48,400,000,000 bytes of pixels, expected at most 8,589,934,592; crop or resample" in problem
    problem = refusal(lambda: read_label_map(tiff_of(20_000, tmp_path / "a.tif")))
    assert "a page of uint8 (20000, 20000), expected at most 268,435,456" in problem
    problem = refusal(lambda: read_label_map(tiff_of(10_000, tmp_path / "a.tif")))
    assert re.search(r"found at most [\d,]+ bytes, expected the 100,000,000 bytes of its pages", problem)


def test_the_limit_can_be_raised_and_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(30_000, 30_000))
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    assert "found 30000 x 30000 pixels of 8 bits in" in refusal(lambda: read_label_map(path))
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    monkeypatch.setenv(LIMIT_VARIABLE, "1e-9")
    assert "found 6 bytes of pixels, expected at most 1" in refusal(lambda: read_label_map(tmp_path / "a.tif"))
    for wrong in ("x", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(UsageError, match=rf"{LIMIT_VARIABLE}: found '{wrong}', expected a positive number"):
            read_label_map(tmp_path / "a.tif")


def test_the_option_of_score_lifts_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "PLANE_LIMIT_BYTES", 5)
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    words: list[Any] = ["score", "a.tif", "a.tif", "--labels", "x=1 y=2,4"]
    refused = benchbench(*words, cwd=tmp_path)
    assert refused.returncode == 3
    assert "raise the limit with --size-limit GIB" in refused.stderr
    assert benchbench(*words, "--size-limit", "1", cwd=tmp_path).returncode == 0


# the directories of a TIFF file


def test_a_list_of_pages_that_runs_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([LABELS] * 3), photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    with tifffile.TiffFile(path) as file:
        last = file.pages[2].offset
    (count,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * count, first)
    path.write_bytes(content)
    assert "found a list of pages that runs in a circle" in refusal(lambda: read_label_map(path))


def test_pages_behind_a_damaged_one_are_never_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([LABELS] * 3), photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    (count,) = struct.unpack_from("<H", content, second)
    for position in (len(content) + 5, len(content) - 1):
        struct.pack_into("<I", content, second + 2 + 12 * count, position)
        path.write_bytes(content)
        assert re.search(
            r"found (page 2 beyond the end|a file that ends in)", refusal(lambda: read_label_map(path))
        )


def test_a_flipped_bit_in_a_png_is_found_by_its_checksum(tmp_path: Path) -> None:
    content = bytearray(png_header(40, 24))
    place = content.index(b"IDAT") + 6
    content[place] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    problem = refusal(lambda: read_label_map(tmp_path / "a.png"))
    assert "found a part 'IDAT' that does not match its checksum, expected a whole PNG file" in problem
