"""`run` writes a report again only where something that it is made of, or one of its files, has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from handmade import FOLD_0, change_manifest, end, key, two_models

from benchbench.launch.orchestrate import write_current_report
from benchbench.records.folder import ResultsFolder
from benchbench.report import current
from benchbench.report.current import STATE_NAME, digest_inputs, is_current, remember_report

pytestmark = pytest.mark.usefixtures("without_figures")

Change = Callable[[ResultsFolder], object]


def other_counts(folder: ResultsFolder) -> None:
    end(folder, key("grand", 0), FOLD_0)


def deleted_run(folder: ResultsFolder) -> None:
    (folder.run(key("grand", 0)).path / "run.json").unlink()


def new_file_to_link_to(folder: ResultsFolder) -> None:
    (folder.run(key("grand", 0)).path / "worker.log").touch()


def other_title(folder: ResultsFolder) -> None:
    change_manifest(folder, title="another title")


def altered_page(folder: ResultsFolder) -> None:
    with (folder.path / "index.html").open("a") as page:
        page.write("edited")


def deleted_table(folder: ResultsFolder) -> None:
    (folder.path / "summary.csv").unlink()


def foreign_figure(folder: ResultsFolder) -> None:
    folder.write("figures/gallery-old.svg", "<svg/>")


def damaged_state(folder: ResultsFolder) -> None:
    folder.write(STATE_NAME, "{")


def state_of_another_version(folder: ResultsFolder) -> None:
    folder.write(STATE_NAME, '{"inputs": "", "outputs": {}}')


def is_written(folder: ResultsFolder, *, pictures: bool = True) -> bool:
    """Return True if a report of the folder is written, and not the last one kept."""
    with mock.patch("benchbench.launch.orchestrate.write_tables", side_effect=RuntimeError) as write:
        try:
            write_current_report(folder, pictures=pictures)
        except RuntimeError:
            assert write.called
            return True
    return False


def reported(path: Path) -> ResultsFolder:
    folder = two_models(path)
    write_current_report(folder, pictures=True)
    return folder


def test_a_report_whose_inputs_and_files_are_as_they_were_is_kept(tmp_path: Path) -> None:
    folder = reported(tmp_path)
    assert not is_written(folder)
    assert not is_written(folder)


@pytest.mark.parametrize(
    "change",
    [
        other_counts,
        deleted_run,
        new_file_to_link_to,
        other_title,
        altered_page,
        deleted_table,
        foreign_figure,
        damaged_state,
        state_of_another_version,
    ],
)
def test_a_report_is_written_again_after_a_change(change: Change, tmp_path: Path) -> None:
    folder = reported(tmp_path)
    change(folder)
    assert is_written(folder)


def test_files_of_other_commands_do_not_count(tmp_path: Path) -> None:
    folder = reported(tmp_path)
    folder.write("jobs.json", "{}")
    folder.write("viewer/index.html", "<html></html>")
    assert not is_written(folder)


def test_other_options_give_another_report(tmp_path: Path) -> None:
    folder = reported(tmp_path)
    assert is_written(folder, pictures=False)


@pytest.mark.parametrize("changed", ["_digest_source", "version"])
def test_another_version_of_the_package_or_of_a_library_writes_the_report_again(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = reported(tmp_path)
    monkeypatch.setattr(current, changed, lambda *_: "another version")
    assert is_written(folder)


def test_a_change_while_the_report_is_written_leaves_it_out_of_date(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    inputs = digest_inputs(folder, pictures=True)
    other_title(folder)
    remember_report(folder, inputs, pictures=True)
    assert not is_current(folder, inputs)
    assert not (folder.path / STATE_NAME).exists()


def test_the_report_after_a_change_is_the_one_of_a_new_folder(tmp_path: Path) -> None:
    folder = reported(tmp_path / "a")
    altered_page(folder)
    write_current_report(folder, pictures=True)
    assert not is_written(folder)
    fresh = reported(tmp_path / "b")
    assert (folder.path / "index.html").read_bytes() == (fresh.path / "index.html").read_bytes()
