"""docs/architecture.md lists the packages that exist, in the order of the import contracts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTAINERS = {"Packages": "benchbench", "Engine": "benchbench.engine"}


def documented(section: str) -> list[set[str]]:
    """The packages of each row of a section's table, from top to bottom."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", cell)) for cell in first_cells]


def contracted(container: str) -> list[set[str]]:
    """The packages of each layer of the import contract, the lowest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers" and contract["containers"] == [container]:
            return [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]
    raise AssertionError(f"no layers contract of {container}")


def present(container: str) -> set[str]:
    """The packages and modules of a folder."""
    folder = ROOT / container.replace(".", "/")
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    modules = {path.stem for path in folder.glob("*.py")}
    return packages | modules - {"__init__"}


@pytest.mark.parametrize(("section", "container"), CONTAINERS.items())
def test_the_page_lists_the_packages_in_the_order_of_the_contract(section: str, container: str) -> None:
    assert documented(section) == contracted(container)


@pytest.mark.parametrize(("section", "container"), CONTAINERS.items())
def test_the_page_lists_every_package_that_exists(section: str, container: str) -> None:
    assert set().union(*documented(section)) == present(container)


def test_files_that_the_page_names_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:benchbench|plugins|launch|engine)/[\w/.]*)`", page)
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / "benchbench" / path).exists()]
    assert len(paths) > 5
    assert missing == []
