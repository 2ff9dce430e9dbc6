"""Hostile names from files, plugins, benchmarks and records stay inside their folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from handmade import FOLD_0, change_manifest, end, key, plan

from benchbench.contract import Archive, DatasetPlugin, Download, ModelPlugin
from benchbench.data.download import _add
from benchbench.data.fetch import Fetched, Fetcher
from benchbench.errors import BenchbenchError, IntegrityError, PluginError, SpecError
from benchbench.records.folder import ResultsFolder
from benchbench.records.run_folder import RunFolder
from benchbench.registry import registry
from benchbench.report import write_tables
from benchbench.run.assignment import slug as slug_of_cases
from benchbench.spec.benchmark import _benchmark_name
from benchbench.spec.file_names import inside, is_slug, slug
from benchbench.tables.rows import name_for

HOSTILE = {
    "parent": "../../../ESC",
    "parent in the middle": "x/../../../ESC",
    "absolute": "/ESC",
    "backslash": "..\\..\\ESC",
    "drive": "C:ESC",
    "NUL": "a\0ESC",
    "newline": "a\nESC",
    "long": "ESC" * 100,
    "device": "CON",
    "device with suffix": "nul.txt",
    "look-alike slash": "..\u2215..\u2215ESC",
    "look-alike letters": "\u0441\u043en",  # Cyrillic
    "full-width dots": "\uff0e\uff0e/ESC",
    "right to left": "a\u202eESC",
    "empty": "",
    "dots": "..",
    "surrogate": "a\udc80",
}
HARMLESS = {HOSTILE["look-alike slash"], HOSTILE["look-alike letters"], HOSTILE["full-width dots"]}
"""Letters like any other to a file system."""
hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


def is_a_label(name: str) -> bool:
    """Return True for a name that a benchmark file may give to a row."""
    return bool(name) and name.isprintable()


def marks_of(key: str) -> list[pytest.MarkDecorator]:
    """Return the mark of a name whose report is written by the slow suite only."""
    return [] if key in {"parent in the middle", "long", "device"} else [pytest.mark.slow]


@pytest.fixture
def fence(tmp_path: Path) -> Iterator[Path]:
    """A folder four levels below another; afterwards nothing may be outside of it."""
    folder = tmp_path / "1" / "2" / "3" / "folder"
    folder.mkdir(parents=True)
    yield folder
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == []
    assert not Path("/ESC").exists()


@hostile
def test_a_slug_is_one_part_of_a_path_and_differs_from_other_slugs(name: str) -> None:
    safe = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_=+@-][A-Za-z0-9._=+@-]{0,66}", safe)
    assert not re.match(r"(?i)(con|nul|aux|prn)(\.|$)", safe)
    assert safe not in {slug(other) for other in HOSTILE.values() if other != name}
    assert not is_slug(name)


@hostile
def test_a_name_that_leads_out_of_its_folder_is_refused(fence: Path, name: str) -> None:
    if name in HARMLESS:
        assert inside(fence, name).resolve().is_relative_to(fence.resolve())
        return
    with pytest.raises(IntegrityError, match="expected the name of a file in this folder") as caught:
        inside(fence, name)
    assert len(str(caught.value).splitlines()) == 1


@hostile
def test_names_of_the_plan_and_the_record_stay_in_the_results_folder(fence: Path, name: str) -> None:
    run = key(name or "m", 0, dataset=name or "d", variant=name or "v")
    path = ResultsFolder(fence).run(run).path
    assert path.resolve().is_relative_to(fence.resolve())
    folder = RunFolder(fence)
    table = pa.table({"x": [1]})
    actions: list[Any] = [
        lambda: folder.write(name, b"content"),
        lambda: folder.write_table(name, table),
        lambda: folder.digest_of(name),
        lambda: folder.names_in(name),
        lambda: folder.discard(name),
        lambda: folder.columns_of(name),
        lambda: ResultsFolder(fence).write(name, "content"),
    ]
    for action in actions:
        try:
            action()
        except (BenchbenchError, FileNotFoundError, UnicodeEncodeError):
            continue


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=key, marks=marks_of(key)) for key, name in HOSTILE.items() if is_a_label(name)]
)
def test_labels_of_a_report_stay_in_the_results_folder(fence: Path, name: str) -> None:
    tables = [{"rows": "fold", "columns": "model", "value": "dice"}]
    listings = [{"title": "t", "rows": "model", "columns": {"Dice": "dice"}}]
    runs = [key(model, 0, dataset=dataset, variant=name) for model in (name, "other") for dataset in (name, "d")]
    folder = plan(fence, runs, tables=tables, listings=listings, name=name, settings={name: {}})
    for run in runs:
        end(folder, run, FOLD_0)
    results = write_tables(folder)
    assert len(list((fence / "tables").glob("*.csv"))) >= 2
    assert "/" not in name_for("curves", name, results)


@hostile
def test_an_edited_metric_of_a_table_is_refused(fence: Path, name: str) -> None:
    folder = plan(fence, [key("plain", 0)], tables=[{"rows": "fold", "columns": "model", "value": "dice"}])
    end(folder, key("plain", 0), FOLD_0)
    path = fence / "benchmark.json"
    content = json.loads(path.read_text())
    content["tables"][0]["value"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError):
        write_tables(folder)


@hostile
def test_a_plugin_with_a_hostile_name_is_set_aside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    download = Download(licence="CC0", page="https://example.org")
    plugins = [
        DatasetPlugin(name=name, open=print, source="none", download=download, phantom=print),  # type: ignore[arg-type]
        ModelPlugin(name=name, build=print, source="none", ndims=frozenset({2})),  # type: ignore[arg-type]
    ]
    origin = registry.Origin(entry_point="ill", module="ill", distribution="ill", version="1")
    monkeypatch.setattr(registry, "_load_plugins", lambda _: plugins)
    monkeypatch.setattr(registry, "_origin", lambda *_: origin)
    point: Any = SimpleNamespace(name="ill")
    loaded = registry.load([point])
    assert (dict(loaded.datasets), dict(loaded.models)) == ({}, {})
    assert len(loaded.broken) == 2
    for broken in loaded.broken:
        assert "as its name, expected letters, digits and _" in broken.reason
        assert len(broken.reason.splitlines()) == 1


@hostile
def test_a_benchmark_file_with_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="names the results folder"):
        _benchmark_name(Path(f"{name}.toml"))


@pytest.mark.parametrize("name", ["../ESC", "/ESC", "a/../../ESC", "CON", "..", "a\nb"])
def test_a_download_with_a_hostile_name_is_refused(fence: Path, name: str) -> None:
    archive = fence / "x.zip"
    archive.mkdir()
    (archive / "file").write_text("content")
    (fence / "target").mkdir()
    with pytest.raises(PluginError, match="expected the name of a file"):
        _add(Fetched(path=archive, source="", version=None, folder=name), fence / "target")
    fetcher = Fetcher(folder=fence, sleep=lambda _: None, say=lambda _: None, progressbar=False)
    last = name.rpartition("/")[2]
    if last not in {"ESC", ""}:
        with pytest.raises(PluginError, match="expected the name of a file"):
            fetcher._archive(Archive(url=f"https://example.org/{name}", digest="md5:0"))


@hostile
def test_cases_have_their_own_file_each(name: str) -> None:
    assert slug_of_cases is slug
    assert slug(name) != slug(f"{name} ")


def test_manifest_names_are_not_used_as_paths(tmp_path: Path) -> None:
    folder = plan(tmp_path / "b", [key("plain", 0)])
    change_manifest(folder, name="../../ESC")
    end(folder, key("plain", 0), FOLD_0)
    write_tables(folder)
    assert not list(tmp_path.parent.glob("ESC*"))
