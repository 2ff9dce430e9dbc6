"""The viewer shows the gallery's cases as volumes, in the axes of their images, and is written on request only."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from test_page import CHROMIUM
from toy_benchmark import Finished

from benchbench.cli.report import report_command
from benchbench.engine.preparation.frame import whole_frame
from benchbench.errors import DataError
from benchbench.images.planes import Plane
from benchbench.report.figures.gallery_files import CasePlane
from benchbench.report.viewer import niivue, write_viewer
from benchbench.report.viewer.volumes import CaseVolumes, case_script
from benchbench.tables.results import read_results
from benchbench.verification.reports import _report_files

AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])
"""The first axis runs to the patient's left."""


def volumes() -> CaseVolumes:
    core = np.zeros((4, 5, 6), bool)
    core[3, 1, 2] = True
    whole = core.copy()
    whole[2:4, 1, 2] = True
    frame = whole_frame((4, 5, 6), AFFINE, slice_axis=None)
    return CaseVolumes(np.zeros((4, 5, 6), np.uint8), {"whole": whole, "core": core}, AFFINE, frame)


def content_of(script: str) -> dict[str, Any]:
    assert script.startswith("receiveCase(")
    content: dict[str, Any] = json.loads(script.removeprefix("receiveCase(").removesuffix(");\n"))
    return content


def image_of(encoded: str) -> Any:
    return nib.nifti1.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(encoded)))


def test_predictions_are_turned_from_the_axes_of_the_frame_to_those_of_the_image() -> None:
    case = volumes()
    prediction = {region: case.frame.orient(mask) for region, mask in case.reference.items()}
    assert prediction["whole"].shape == (6, 5, 4)
    maps = content_of(case_script(case, {"grand: 1.000": prediction}, ["whole", "core"]))["maps"]
    assert list(maps) == ["reference", "grand: 1.000"]
    expected = np.zeros((4, 5, 6), np.uint8)
    expected[2, 1, 2], expected[3, 1, 2] = 1, 2  # the core covers the whole
    for encoded in maps.values():
        image = image_of(encoded)
        assert np.array_equal(np.asarray(image.dataobj), expected)
        assert np.array_equal(image.affine, AFFINE)


def test_the_view_begins_at_the_centre_of_the_reference() -> None:
    case = volumes()
    content = content_of(case_script(case, {}, ["whole", "core"]))
    assert content["centre_mm"] == [-5.0, 1.0, 6.0]  # voxel (2.5, 1, 2)
    empty = {"whole": np.zeros((4, 5, 6), bool)}
    assert content_of(case_script(case._replace(reference=empty), {}, ["whole"]))["centre_mm"] == [-4.0, 2.5, 9.0]


def test_a_case_of_other_data_than_the_runs_used_is_noticed() -> None:
    case = volumes()
    plane = Plane("axial", 0, 2, (0, 5), (0, 4))
    stored = plane.cut(case.frame.orient(case.reference["core"]))
    assert stored.any()
    assert case.matches(CasePlane(plane, b"", ("core",), ("#ffffff",), (stored,)))
    assert not case.matches(CasePlane(plane, b"", ("core",), ("#ffffff",), (~stored,)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--viewer"], "--viewer needs the images; give their folder as --data-root"),
        (["--viewer", "--no-pictures", "--data-root", "x"], "give one of the two"),
    ],
)
def test_a_viewer_without_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.delenv("BENCHBENCH_DATA", raising=False)
    done = CliRunner().invoke(report_command, [str(tmp_path), *words])
    assert message in str(done.exception)


def test_a_viewer_has_the_cases_of_the_gallery_and_verification_passes_over_it(
    finished: Finished, tmp_path: Path
) -> None:
    copy = finished.copy(tmp_path)
    results = read_results(copy.folder)
    before = _report_files(copy.folder.path)
    with mock.patch("benchbench.report.viewer.fetch_niivue", return_value=b"niivue"):
        page = write_viewer(copy.folder, results, data_root=copy.data, cache=tmp_path)
    names = {path.name for path in page.parent.iterdir()} - {".lock"}
    cases = sorted(name for name in names if name.startswith("case_"))
    assert names == {"index.html", "niivue.js", "viewer.js", *cases}
    assert len(cases) == 3, "best, median and worst"
    content = content_of((page.parent / cases[0]).read_text())
    assert image_of(content["image"]).shape == (3, 32, 32)
    assert [name.split(": ")[0] for name in content["maps"]] == ["reference", "plain"]
    assert "niivue" not in (copy.folder.path / "index.html").read_text()
    assert _report_files(copy.folder.path) == before


def test_a_viewer_of_other_data_is_refused(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    with (
        mock.patch("benchbench.report.viewer.volumes.CaseVolumes.matches", return_value=False),
        pytest.raises(DataError, match="the reference in the data root is not that of the runs"),
    ):
        write_viewer(copy.folder, read_results(copy.folder), data_root=copy.data, cache=tmp_path)
    assert not (copy.folder.path / "viewer").exists()


def test_niivue_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.js"
    script.write_bytes(b"the script")
    monkeypatch.setattr(niivue, "ADDRESS", script.as_uri())
    monkeypatch.setattr(niivue, "_SHA256", hashlib.sha256(b"the script").hexdigest())
    with mock.patch("pooch.core.choose_downloader", return_value=copy_file):
        assert niivue.fetch_niivue(tmp_path / "cache") == b"the script"
    script.unlink()
    assert niivue.fetch_niivue(tmp_path / "cache") == b"the script"


def copy_file(address: str, target: str, _: object) -> None:
    shutil.copy(address.removeprefix("file://"), target)


def test_another_file_than_niivue_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.js"
    script.write_bytes(b"an error page")
    monkeypatch.setattr(niivue, "ADDRESS", script.as_uri())
    with (
        mock.patch("pooch.core.choose_downloader", return_value=copy_file),
        pytest.raises(DataError, match=r"not downloaded \(ValueError\)"),
    ):
        niivue.fetch_niivue(tmp_path / "cache")


def test_a_download_that_fails_names_the_file_to_put_there(tmp_path: Path) -> None:
    with (
        mock.patch("pooch.retrieve", side_effect=ConnectionError("no network")),
        pytest.raises(DataError) as caught,
    ):
        niivue.fetch_niivue(tmp_path)
    (line,) = caught.value.problems
    assert "not downloaded (ConnectionError)" in line
    assert f"download it by hand and save it as {tmp_path}" in line


def put_niivue_in(folder: Path) -> None:
    """Download niivue by npm, whose archive has the same file."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine: niivue was not downloaded")
    folder.mkdir()
    words = [npm, "pack", f"@niivue/niivue@{niivue.VERSION}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm could not download niivue: {done.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        script = archive.extractfile("package/dist/niivue.umd.js")
        assert script is not None
        (folder / f"niivue-{niivue.VERSION}.js").write_bytes(script.read())


@pytest.fixture
def webgl() -> Iterator[Any]:
    """A browser that draws volumes on the CPU."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the viewer was not opened")
    from playwright.sync_api import sync_playwright

    words = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield chromium
        chromium.close()


@pytest.mark.slow
def test_a_browser_shows_the_volumes_without_errors_and_requests(
    finished: Finished, tmp_path: Path, webgl: Any
) -> None:
    copy = finished.copy(tmp_path)
    put_niivue_in(tmp_path / "niivue")
    page_file = write_viewer(copy.folder, read_results(copy.folder), data_root=copy.data, cache=tmp_path)
    page = webgl.new_page(viewport={"width": 1280, "height": 800})
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    state = page.locator("#state")
    state.get_by_text("reference, 3 x 32 x 32 voxels").wait_for()
    page.select_option("#map", index=1)
    state.get_by_text("plain: ").wait_for()
    page.select_option("#case", index=2)
    state.get_by_text("reference, 3 x 32 x 32 voxels").wait_for()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_report_without_the_option_writes_no_viewer(finished: Finished) -> None:
    assert not (finished.folder.path / "viewer").exists()
