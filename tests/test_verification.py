"""`benchbench verify` catches every kind of change of results, and `benchbench publish` keeps them verifiable."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Done, benchbench
from toy_benchmark import Finished

from benchbench.metrics.masks import pack, unpack
from benchbench.records.files import parquet_bytes
from benchbench.verification.reports import ReportComparison

pytestmark = pytest.mark.usefixtures("without_figures", "without_statistics")

RUN = "runs/squares/plain/default/fold0_seed0"


@pytest.fixture(scope="session")
def published_once(finished_pair: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair of models, published without figures."""
    folder = tmp_path_factory.mktemp("published") / "squares"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchbench.report.draw_figures", lambda *_, **__: [])
        patch.setattr("benchbench.report.boards", lambda _: [])
        done = benchbench("publish", finished_pair.folder.path, "--to", folder, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def published(published_once: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(published_once, tmp_path / "squares"))


def verify(folder: Path, *words: object) -> Done:
    return benchbench("verify", folder, *words, cwd=folder.parent)


def correct_digest(folder: Path, name: str) -> None:
    """Write the digest of a file of the run into its record, and the list of digests again."""
    record = json.loads((folder / RUN / "run.json").read_text())
    digest = hashlib.sha256((folder / RUN / name).read_bytes()).hexdigest()
    record["files"][name] = digest
    (folder / RUN / "run.json").write_text(json.dumps(record, indent=1) + "\n")
    correct_list(folder)


def correct_list(folder: Path) -> None:
    lines = []
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        _, _, name = line.partition("  ")
        lines.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))


def change_row(path: Path, row: int, **values: object) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[row] |= values
    path.write_bytes(parquet_bytes(pa.Table.from_pylist(rows, schema=table.schema)))


def test_sound_results_are_verified_with_what_was_claimed_recomputed_and_retrained(published: Path) -> None:
    done = verify(published)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[1:3] == ["claimed: Squares", "claimed: 6 of 6 runs done, 3 rows"]
    assert any(line.startswith("recomputed: the digests of ") for line in lines)
    assert any("tables and the text of the page" in line for line in lines)
    assert "retrained: nothing: training is not repeated" in lines
    assert lines[-1] == "verified"


def test_masks_are_scored_again_with_the_dataset(published: Path, finished_pair: Finished) -> None:
    done = verify(published, "--from-masks", finished_pair.data)
    assert done.returncode == 0, done.stderr
    assert "the scores of 12 masks of 4 cases from the reference" in done.stdout


def flip_a_byte(folder: Path) -> str:
    path = folder / RUN / "cases.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return "cases.parquet"


def change_a_cell_of_a_table(folder: Path) -> str:
    path = folder / "folds.csv"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("0.", "9.", 1)
    path.write_text("".join(lines))
    correct_list(folder)
    return "folds.csv: line 3: found"


def change_the_page(folder: Path) -> str:
    path = folder / "index.html"
    path.write_text(path.read_text().replace("Squares", "Circles", 1))
    correct_list(folder)
    return "index.html: line "


def add_a_table(folder: Path) -> str:
    (folder / "tables" / "extra.csv").write_text("a,b\n1,2\n")
    return "tables/extra.csv: found a file that SHA256SUMS does not list"


def lose_a_table(folder: Path) -> str:
    (folder / "summary.csv").unlink()
    return "summary.csv: missing"


def change_a_count(folder: Path) -> str:
    row = pq.read_table(folder / RUN / "cases.parquet").to_pylist()[1]
    change_row(folder / RUN / "cases.parquet", 1, tp=row["tp"] + 1, tn=row["tn"] - 1)
    correct_digest(folder, "cases.parquet")
    return f"cases.parquet: case {row['case']}, region "


def change_a_setting(folder: Path) -> str:
    path = folder / RUN / "run.json"
    record = json.loads(path.read_text())
    record["resolved"]["protocol"]["epochs"] = 500
    path.write_text(json.dumps(record, indent=1) + "\n")
    correct_list(folder)
    return "run.json: resolved: the settings do not have the digest of the record"


def change_a_record(folder: Path) -> str:
    path = folder / RUN / "run.json"
    record = json.loads(path.read_text())
    record["provenance"]["device"] = "cuda:0"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return "run.json: changed since SHA256SUMS was written"


def change_the_digest_of_a_plan(folder: Path) -> str:
    path = folder / "benchmark.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][0]["digest"] = "0" * 64
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    correct_list(folder)
    return "but benchmark.json plans 000000000000"


def change_the_title(folder: Path) -> str:
    path = folder / "benchmark.json"
    path.write_text(path.read_text().replace("Squares", "Circles"))
    return "benchmark.json: changed since SHA256SUMS was written"


def add_a_voxel(folder: Path) -> str:
    path = folder / RUN / "predictions.parquet"
    row = pq.read_table(path).to_pylist()[0]
    mask = unpack(row)
    mask[tuple(np.argwhere(~mask)[0])] = True
    change_row(path, 0, **pack(mask))
    correct_digest(folder, "predictions.parquet")
    return f"predictions.parquet: case {row['case']}, region "


def change_the_split(folder: Path) -> str:
    path = folder / RUN / "split.csv"
    path.write_text(path.read_text().replace("train", "test", 1))
    correct_digest(folder, "split.csv")
    return "split.csv: not the split of which run.json has the digest"


IN_THE_REPORT = [change_a_cell_of_a_table, change_the_page]
ELSEWHERE = [
    *(flip_a_byte, add_a_table, lose_a_table, change_a_count, change_a_setting, change_a_record),
    *(change_the_digest_of_a_plan, change_the_title, add_a_voxel, change_the_split),
]


@pytest.mark.parametrize("tamper", ELSEWHERE)
def test_a_change_outside_of_the_report_needs_no_report_to_be_found(
    published: Path, tamper: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.verification.compare_report", lambda _: ReportComparison([], []))
    test_a_change_of_results_is_a_line_that_names_the_file(published, tamper)


@pytest.mark.parametrize("tamper", IN_THE_REPORT)
def test_a_change_of_results_is_a_line_that_names_the_file(published: Path, tamper: Callable[[Path], str]) -> None:
    expected = tamper(published)
    done = verify(published)
    assert done.returncode == 4
    assert any(expected in line for line in done.stderr.splitlines()), done.stderr
    assert "not verified" in done.stdout


def forge_an_overlap(folder: Path) -> str:
    """Predict one voxel more, in a corner, count it as an overlap, and correct every digest and table."""
    run = folder / RUN
    slices = pq.read_table(run / "slices.parquet").to_pylist()
    row = next(row for row in slices if row["fn"] > 0 and row["tn"] > 0)
    place = (row["case"], row["region"])
    masks = pq.read_table(run / "predictions.parquet").to_pylist()
    of_case = next(saved for saved in masks if (saved["case"], saved["region"]) == place)
    mask = unpack(of_case)
    mask[row["slice"], 0, 0] = True
    change_row(run / "predictions.parquet", masks.index(of_case), **pack(mask))
    cases = pq.read_table(run / "cases.parquet").to_pylist()
    total = next(case for case in cases if (case["case"], case["region"]) == place)
    for name, rows, counted in (("slices.parquet", slices, row), ("cases.parquet", cases, total)):
        change_row(run / name, rows.index(counted), tp=counted["tp"] + 1, fn=counted["fn"] - 1)
    for name in ("predictions.parquet", "slices.parquet", "cases.parquet"):
        correct_digest(folder, name)
    done = benchbench("report", folder, "--no-pictures", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return f"slices.parquet: case {row['case']}, slice {row['slice']}, region {row['region']}: found tp {row['tp'] + 1}"


@pytest.mark.slow
def test_a_slice_that_no_mask_has_is_named(published: Path, finished_pair: Finished) -> None:
    run = published / RUN
    row = pq.read_table(run / "slices.parquet").to_pylist()[0]
    change_row(run / "slices.parquet", 0, slice=99)
    correct_digest(published, "slices.parquet")
    done = verify(published, "--from-masks", finished_pair.data)
    assert done.returncode == 4
    assert f"slices.parquet: case {row['case']}" in done.stderr
    assert "found slice 99" in done.stderr


def test_a_forged_overlap_is_found_with_the_reference(published: Path, finished_pair: Finished) -> None:
    expected = forge_an_overlap(published)
    assert verify(published).returncode == 0
    done = verify(published, "--from-masks", finished_pair.data)
    assert done.returncode == 4
    assert expected in done.stderr


@pytest.mark.slow
def test_another_dataset_is_refused(published: Path, finished_pair: Finished, tmp_path: Path) -> None:
    data = Path(shutil.copytree(finished_pair.data, tmp_path / "data"))
    file = next(path for path in sorted((data / "squares").rglob("*")) if path.is_file())
    file.write_bytes(file.read_bytes() + b"\0")
    done = verify(published, "--from-masks", data)
    assert done.returncode == 4
    assert "data_digest: found" in done.stderr


@pytest.mark.slow
def test_results_that_are_not_published_are_verified_as_well(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path)
    assert benchbench("report", copy.results, "--no-pictures", cwd=tmp_path).returncode == 0
    done = verify(copy.results)
    assert done.returncode == 0, done.stderr
    assert "SHA256SUMS" not in done.stdout


def test_a_published_folder_has_no_weights_images_logs_and_paths(published: Path, finished_pair: Finished) -> None:
    names = {path.name for path in published.rglob("*") if path.is_file()}
    assert not any(name.endswith((".safetensors", ".log", ".pt")) or name.startswith("events") for name in names)
    assert not names & {"pictures.parquet", "planes.parquet", "metadata.csv", "jobs.json"}
    assert {"cases.parquet", "run.json", "benchmark.json", "index.html", "leaderboard.md", "SHA256SUMS"} <= names
    for path in published.rglob("*"):
        if path.suffix in {".json", ".csv", ".md", ".html"}:
            assert str(finished_pair.root) not in path.read_text()


def test_the_report_of_a_published_folder_has_the_same_bytes(published: Path) -> None:
    before = {path: path.read_bytes() for path in published.rglob("*") if path.is_file()}
    done = benchbench("report", published, "--no-pictures", cwd=published.parent)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_report_of_changed_runs_is_refused(published: Path) -> None:
    change_a_record(published)
    done = benchbench("report", published, "--no-pictures", cwd=published.parent)
    assert done.returncode == 4
    assert "run.json: changed since SHA256SUMS was written" in done.stderr


@pytest.mark.slow
def test_a_path_in_a_remark_is_shortened(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path / "copy")
    path = copy.folder.path / RUN / "run.json"
    record = json.loads(path.read_text())
    record["retries"] = ["process 12: /home/someone/data/case.nii: unreadable"]
    path.write_text(json.dumps(record))
    target = tmp_path / "public"
    assert benchbench("publish", copy.folder.path, "--to", target, cwd=tmp_path).returncode == 0
    published = json.loads((target / RUN / "run.json").read_text())
    assert published["retries"] == ["process 12: case.nii: unreadable"]


def test_a_path_in_the_manifest_is_refused(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path / "copy")
    path = copy.folder.path / "benchmark.json"
    manifest = json.loads(path.read_text())
    manifest["deviations"] = ["data of /home/someone/data"]
    path.write_text(json.dumps(manifest))
    done = benchbench("publish", copy.folder.path, "--to", tmp_path / "public", cwd=tmp_path)
    assert done.returncode == 4
    assert "benchmark.json: deviations: found the path /home/someone/data" in done.stderr


def test_a_folder_with_something_else_is_not_published_into(finished_pair: Finished, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    done = benchbench("publish", finished_pair.folder.path, "--to", tmp_path / "notes", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert (tmp_path / "notes" / "mine.txt").exists()
