from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from handmade import key, plan

from benchbench.data.atomic import write_atomic
from benchbench.errors import IntegrityError
from benchbench.plan.run import RECORD_SCHEMA, RunKey
from benchbench.records.folder import ResultsFolder, benchmark_folders, results_folder
from benchbench.records.history import read_history, write_history
from benchbench.records.record import Record
from benchbench.records.resume import read_resume, write_resume
from benchbench.records.run_folder import RunBusyError, RunFolder
from benchbench.records.table_columns import read_checked
from benchbench.records.weights import weight_files, weights_digest
from benchbench.spec.file_names import slug

KEY = RunKey("discs", "plain", "default", 0, 7)
RECORD = Record(
    **KEY._asdict(),
    status="done",
    digest="d" * 64,
    data_digest="a" * 64,
    split_digest="b" * 64,
    resolved={"model": {"params": {"width": 8}}},
    provenance={"device": "cpu"},
    seconds=1.5,
    parameters=12,
    epochs=3,
    best_epoch=2,
)


def fail(*_: object) -> None:
    raise AssertionError("JSON has no such number")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return ResultsFolder(tmp_path / "b").run(KEY)


def test_a_record_is_read_as_it_was_written(run: RunFolder) -> None:
    assert run.read_record() is None
    run.write_record(RECORD)
    assert run.read_record() == RECORD
    assert RECORD.key == KEY


def test_what_json_cannot_say_is_null(run: RunFolder) -> None:
    run.write_record(replace(RECORD, seconds=math.nan, provenance={"deep": [math.inf, (1.5, -math.inf)]}))
    text = (run.path / "run.json").read_text()
    content = json.loads(text, parse_constant=fail)
    assert (content["seconds"], content["provenance"]) == (None, {"deep": [None, [1.5, None]]})


def test_texts_that_look_like_numbers_stay_texts(run: RunFolder) -> None:
    odd = replace(RECORD, dataset="001", model="NA", variant="1e5")
    run.write_record(odd)
    assert run.read_record() == odd


def edited(run: RunFolder, **changes: Any) -> None:
    run.write_record(RECORD)
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_record_cut_short_is_refused_by_name(run: RunFolder, length: int) -> None:
    run.write_record(RECORD)
    path = run.path / "run.json"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(IntegrityError) as caught:
        run.read_record()
    assert str(caught.value).startswith(f"{path}: not a run record (")


@pytest.mark.parametrize("content", ["null", "[]", "{}", '"text"', f'{{"schema": {RECORD_SCHEMA}}}', "\x00"])
def test_a_file_that_is_no_record_is_refused_by_name(run: RunFolder, content: str) -> None:
    run.write_record(RECORD)
    (run.path / "run.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"run\.json: not a run record"):
        run.read_record()


def test_a_record_with_a_field_that_nobody_wrote_is_refused(run: RunFolder) -> None:
    edited(run, dice=0.99)
    with pytest.raises(IntegrityError, match=r"run\.json: not a run record \(.*'dice'"):
        run.read_record()


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_record_of_another_version_counts_as_none(run: RunFolder, difference: int) -> None:
    edited(run, schema=RECORD_SCHEMA + difference, new_field="unknown")
    assert run.read_record() is None


TABLE = pa.table({"case": ["001", "NA", "1e5"], "tp": [1, 2, 3]})


def test_a_table_is_read_as_it_was_written(run: RunFolder) -> None:
    run.write_table("cases.parquet", TABLE)
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet")})
    assert run.read_table("cases.parquet", record).equals(TABLE)


def test_a_table_whose_digest_the_record_does_not_list_is_refused(run: RunFolder) -> None:
    run.write_table("cases.parquet", TABLE)
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet")})
    message = r"cases\.parquet: missing or changed since run\.json was written"
    with pytest.raises(IntegrityError, match=message):
        run.read_table("cases.parquet", RECORD)
    run.write_table("cases.parquet", TABLE.slice(1))
    with pytest.raises(IntegrityError, match=message):
        run.read_table("cases.parquet", record)
    run.discard("cases.parquet")
    with pytest.raises(IntegrityError, match=message):
        run.read_table("cases.parquet", record)


def test_a_run_is_held_by_one_at_a_time(run: RunFolder) -> None:
    with run.lock(0), pytest.raises(RunBusyError, match="another process is at this run"), run.lock(0):
        pytest.fail("two hold one run")
    with run.lock(0):
        assert run.path.is_dir()


def test_clearing_keeps_the_lock_and_the_log(run: RunFolder) -> None:
    with run.lock(0):
        for name in ("worker.log", "run.json", "previews/best.png"):
            run.write(name, b"x")
        run.clear(keep_resume=False)
        assert {path.name for path in run.path.iterdir()} <= {".lock", "worker.log"}
        assert (run.path / "worker.log").read_bytes() == b"x"


def test_the_state_of_a_run_is_read_under_its_own_tag_only(run: RunFolder) -> None:
    state = b"first line\nsecond line\n"
    assert read_resume(run, "tag a") == (None, "")
    write_resume(run, "tag a", state)
    assert read_resume(run, "tag a") == (state, "")
    assert read_resume(run, "tag b") == (None, "")


@pytest.mark.parametrize("position", [0, 6, 40, -1])
def test_a_state_with_a_flipped_bit_is_not_read(run: RunFolder, position: int) -> None:
    write_resume(run, "tag a", b"state of a run")
    path = run.path / "resume.pt"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    # a changed tag is that of another run
    problem = "" if position == 0 else "its bytes were changed"
    assert read_resume(run, "tag a") == (None, problem)


def test_a_history_is_a_table_of_epochs(run: RunFolder) -> None:
    write_history(run, [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}])
    assert (run.path / "history.csv").read_bytes() == b"epoch,loss\n0,0.5\n1,0.25\n"


LABELS = [
    "a b",
    "a_b",
    "a/b",
    "a\\b",
    "A?b",
    "..",
    ".",
    "../x",
    "/etc",
    ".hidden",
    "x" * 61,
    "x" * 60,
    "ä",
    "-",
    "a\nb",
]


def test_labels_become_different_plain_folder_names() -> None:
    names = [slug(label) for label in LABELS]
    assert len(set(names)) == len(LABELS)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name) < 80
        assert name.isascii()


@pytest.mark.parametrize("label", ["default", "lr=0.1", "batch=2+x_y-z", "v1.0"])
def test_a_plain_label_is_its_own_folder_name(label: str) -> None:
    assert slug(label) == label


def test_the_folder_of_a_run_is_inside_that_of_its_benchmark_for_any_name(tmp_path: Path) -> None:
    folder = results_folder(tmp_path, "b", phantom=False)
    path = folder.run(RunKey("../../d", "m", "..", 1, 2)).path
    assert path.resolve().is_relative_to(tmp_path / "b" / "runs")
    assert path.name == "fold1_seed2"


def test_benchmarks_are_found_with_rehearsals_apart(tmp_path: Path) -> None:
    real, rehearsal = (results_folder(tmp_path, "b", phantom=phantom) for phantom in (False, True))
    (tmp_path / "no_benchmark").mkdir()
    assert benchmark_folders(tmp_path) == []
    for folder in (real, rehearsal):
        (folder.path).mkdir(parents=True)
        (folder.path / "benchmark.json").write_text("{}")
    assert real.path == tmp_path / "b"
    assert rehearsal.path == tmp_path / "rehearsal" / "b"
    assert benchmark_folders(tmp_path) == [real, rehearsal]
    assert benchmark_folders(rehearsal.path) == [rehearsal]


@pytest.mark.parametrize("content", [None, "", "{", "\x00"])
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"benchmark\.json: cannot be read"):
        ResultsFolder(tmp_path).read_manifest()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": 3}, "name: Input should be a valid string"),
        ({"added": 1}, "added: Extra inputs are not permitted"),
        ({"runs": [{"dataset": "discs"}]}, r"runs\.0\.model: Field required and 4 more"),
        (
            {"tables": [{"rows": "fold", "columns": "model", "value": "x/../../ESC"}]},
            r"tables\.0\.value: .*no such metric",
        ),
        ({"scores": {}}, "scores: nothing for variant 'default' of run discs/plain/default/fold0/seed0"),
    ],
)
def test_an_edited_manifest_is_one_line_with_the_key(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(IntegrityError, match=rf"benchmark\.json: {problem}.*`benchbench run`") as caught:
        folder.read_manifest()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_manifest_of_another_version_is_refused(tmp_path: Path, difference: int) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    path = tmp_path / "benchmark.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": content["schema"] + difference}))
    with pytest.raises(IntegrityError, match="version"):
        folder.read_manifest()


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)], overrides=["protocol.epochs=2"])
    content = (tmp_path / "benchmark.json").read_bytes()
    folder.write_manifest(folder.read_manifest())
    assert (tmp_path / "benchmark.json").read_bytes() == content


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fold": "one"}, "'fold'"),
        ({"status": "well"}, "'status'"),
        ({"files": {"cases.parquet": 1}}, "'files.cases"),
    ],
)
def test_an_edited_record_is_one_line_with_the_key(run: RunFolder, change: dict[str, Any], problem: str) -> None:
    edited(run, **change)
    with pytest.raises(IntegrityError, match=rf"run\.json: not a run record \({problem}") as caught:
        run.read_record()
    assert "\n" not in str(caught.value)


def test_a_table_can_be_replaced_and_a_cut_off_replacement_leaves_a_run_that_is_whole(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = pa.table({"tp": [1]}), pa.table({"tp": [1], "hd95_mm": [2.5]})
    run.write_table("cases.parquet", old)
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet"), "other": "kept"})
    run.write_record(record)
    for writes in range(3):  # the machine goes down at the first, the second and the third file written

        def write(path: Path, content: bytes, *, left: list[int] = [writes]) -> None:  # noqa: B006
            if not left[0]:
                raise OSError("the machine went down")
            left[0] -= 1
            write_atomic(path, content)

        with monkeypatch.context() as patch:
            patch.setattr("benchbench.records.run_folder.write_atomic", write)
            with pytest.raises(OSError, match="went down"):
                run.replace_table("cases.parquet", new, record)
        record_on_disk = run.read_record()
        assert record_on_disk is not None
        assert run.read_table("cases.parquet", record_on_disk) == (old if writes < 2 else new)
    done = run.replace_table("cases.parquet", new, record)
    assert run.read_record() == done
    assert run.read_table("cases.parquet", done) == new
    assert done.files["other"] == "kept"
    assert not done.replacing
    assert run.columns_of("cases.parquet") == ["tp", "hd95_mm"]
    assert run.columns_of("nothing.parquet") == []


@pytest.mark.parametrize(
    "text", ["epoch,loss\n0,low\n", "epoch,loss\n0\n", "epoch,loss\n0,1,2\n", 'epoch,loss\n0,"1\n']
)
def test_a_damaged_history_is_named_with_its_line(run: RunFolder, text: str) -> None:
    run.write("history.csv", text.encode())
    with pytest.raises(IntegrityError, match=r"history\.csv: line 2: not a row of numbers"):
        read_history(run, RECORD)


def test_a_history_is_read_as_it_was_written(run: RunFolder) -> None:
    assert read_history(run, RECORD) == []
    write_history(run, [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": None}])
    first, second = read_history(run, RECORD)
    assert first == {"epoch": 0, "loss": 0.5}
    assert second["epoch"] == 1
    assert math.isnan(second["loss"])


def test_a_table_that_is_no_parquet_file_is_refused_though_its_digest_is_right(run: RunFolder) -> None:
    run.write("cases.parquet", b"PAR1 and no more")
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet")})
    with pytest.raises(IntegrityError, match=r"cases\.parquet: not a Parquet file"):
        run.read_table("cases.parquet", record)


def test_a_table_of_a_type_that_pyarrow_cannot_read_is_refused(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise pa.ArrowNotImplementedError("Integers with less than 8 bits not implemented")

    run.write_table("cases.parquet", pa.table({"case": ["a"]}))
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet")})
    monkeypatch.setattr("pyarrow.parquet.read_table", refuse)
    with pytest.raises(IntegrityError, match=r"cases\.parquet: not a Parquet file \(ArrowNotImplementedError\)"):
        run.read_table("cases.parquet", record)


def test_a_column_whose_name_is_not_utf_8_is_refused_though_its_digest_is_right(run: RunFolder) -> None:
    plain = pa.table({"case": ["a"], "zzzz": [1]})
    run.write_table("cases.parquet", plain)
    content = (run.path / "cases.parquet").read_bytes()
    run.write("cases.parquet", content.replace(b"zzzz", b"\xbezzz").replace(b"ARROW:schema", b"arrow_schema"))
    record = replace(RECORD, files={"cases.parquet": run.digest_of("cases.parquet")})
    with pytest.raises(IntegrityError, match=r"cases\.parquet: .*; delete the folder to run again"):
        read_checked(run, "cases.parquet", record)


@pytest.mark.parametrize(
    "name",
    ["cases.parquet", "slices.parquet", "predictions.parquet", "pictures.parquet", "planes.parquet"],
)
def test_a_table_without_its_columns_is_refused_though_its_digest_is_right(run: RunFolder, name: str) -> None:
    text = pa.table({"case": ["a"]})
    for table, problem in (
        (pa.table({"tp": [1]}), r"no column \w+"),
        (text.set_column(0, "case", pa.array([[1]])), r"column case: found list|no column"),
        (text.set_column(0, "case", pa.nulls(1, pa.string())), r"column case: found 1 empty cells|no column"),
    ):
        run.write_table(name, table)
        record = replace(RECORD, files={name: run.digest_of(name)})
        with pytest.raises(IntegrityError, match=rf"{name}: ({problem}).*; delete the folder"):
            read_checked(run, name, record)


def test_a_folder_with_a_symbolic_link_is_not_copied(run: RunFolder, tmp_path: Path) -> None:
    run.write_record(RECORD)
    (tmp_path / "secret").write_text("of another folder")
    (run.path / "worker.log").symlink_to(tmp_path / "secret")
    target = RunFolder(tmp_path / "copy")
    with pytest.raises(IntegrityError, match=r"worker\.log: a symbolic link"):
        run.copy_to(target)
    assert not target.path.exists()


@pytest.mark.parametrize(
    "label", ["../x", "/etc", "a\0b", "a\nb", "x" * 300, "CON", "nul.txt", "Lpt1", "..", "ab\u2215c", ""]
)
def test_a_name_from_data_is_one_safe_part_of_a_path(label: str) -> None:
    name = slug(label)
    assert re.fullmatch(r"[A-Za-z0-9._=+-]{1,67}", name)
    assert name not in {".", ".."}
    assert name.lower().partition(".")[0] not in {"con", "nul", "lpt1"}


def test_weights_are_listed_from_the_best_and_all_are_in_their_digest(run: RunFolder) -> None:
    assert weights_digest(run) == ""
    for name in ("best_10.safetensors", "best_2.safetensors", "best.safetensors"):
        run.write(name, name.encode())
    assert weight_files(run) == ["best.safetensors", "best_2.safetensors", "best_10.safetensors"]
    before = weights_digest(run)
    run.write("best_10.safetensors", b"other weights")
    assert weights_digest(run) != before


def test_files_that_are_not_kept_are_discarded(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    for name in ("gallery.png", "gallery-b.png", "curves.png"):
        folder.write(f"figures/{name}", b"")
    folder.discard_others("figures", "gallery*", keep={"gallery.png"})
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"gallery.png", "curves.png"}
