"""Pages have no serious finding of axe-core, which npm downloads for this test."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from drawing import only_svg
from handmade import graded, two_models
from test_gallery import with_pictures
from test_gallery_slides import FURTHER
from test_page import browser  # noqa: F401 a fixture

from benchbench.report import write_report
from benchbench.report.page.index import write_index

AXE = "axe-core@4.14.1"
SERIOUS = {"serious", "critical"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine: axe-core was not downloaded")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm could not download {AXE}: {done.stderr.strip().splitlines()[-1:]}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as content:
        member = content.extractfile("package/axe.min.js")
        assert member is not None, "the archive has the script"
        return member.read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding_on_pages_and_index(
    tmp_path: Path,
    axe: str,
    browser: Any,  # noqa: F811 the fixture
    scheme: str,
) -> None:
    folders = [
        graded(tmp_path / "b", {"low": 0.0, "high": 0.2}),
        two_models(tmp_path / "rehearsal" / "p", phantom=True),
        with_pictures(tmp_path / "g", ["grand", "plain"], further=FURTHER),
    ]
    with only_svg():
        for folder in folders:
            write_report(folder)
    write_index(tmp_path)
    for file in [*(folder.path / "index.html" for folder in folders), tmp_path / "index.html"]:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        page.goto(file.as_uri())
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        page.evaluate(axe)
        findings = page.evaluate("axe.run()")
        assert len(findings["passes"]) > 10
        assert [entry["id"] for entry in findings["violations"] if entry["impact"] in SERIOUS] == []
