from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest
from toy_benchmark import BENCHMARK

from benchbench.errors import SpecError
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.document import Document, nearest, parse_value, read_document


def read(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "file.toml"
    path.write_bytes(text.encode())
    return read_document(path)


def lines(document: Document) -> dict[tuple[str | int, ...], int]:
    return {key: int(place.rpartition(":")[2]) for key, place in document.origins.items()}


def test_every_key_remembers_its_line(tmp_path: Path) -> None:
    text = """title = "a"
# comment = 1

[protocol]  # [not] a = header
epochs = 3
optimizer = { name = "adam", lr = 1e-4 }
"""
    assert lines(read(tmp_path, text)) == {
        ("title",): 1,
        ("protocol",): 4,
        ("protocol", "epochs"): 5,
        ("protocol", "optimizer"): 6,
    }


def test_entries_of_an_array_of_tables_are_numbered(tmp_path: Path) -> None:
    text = """[[models]]
name = "first"
[models.deep]
width = 1
[[models]]
name = "second"
[models.deep]
width = 2
"""
    assert lines(read(tmp_path, text)) == {
        ("models", 0): 1,
        ("models", 0, "name"): 2,
        ("models", 0, "deep"): 3,
        ("models", 0, "deep", "width"): 4,
        ("models", 1): 5,
        ("models", 1, "name"): 6,
        ("models", 1, "deep"): 7,
        ("models", 1, "deep", "width"): 8,
    }


def test_dotted_and_quoted_keys_are_paths(tmp_path: Path) -> None:
    text = """a.b = 1
"c d".'e.f' = 2
"g=h" = 3
[ i . "j.k" ]
"l\\"m" = 4
"""
    assert lines(read(tmp_path, text)) == {
        ("a", "b"): 1,
        ("c d", "e.f"): 2,
        ("g=h",): 3,
        ("i", "j.k"): 4,
        ("i", "j.k", 'l"m'): 5,
    }


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("[\n  [1, 2],\n  [3, 4]\n]", id="rows of an array are no headers"),
        pytest.param('"""\n[table]\nkey = 1\n"""', id="lines of a text are no keys"),
        pytest.param('[\n  { key = "[x]" },\n  { key = "]" },\n]', id="tables in an array"),
    ],
)
def test_lines_within_a_long_value_are_not_keys(tmp_path: Path, value: str) -> None:
    document = read(tmp_path, f"[one]\nlong = {value}\nnext = 1\n")
    assert lines(document) == {("one",): 1, ("one", "long"): 2, ("one", "next"): 3 + value.count("\n")}


def test_unicode_line_separators_do_not_change_line_numbers(tmp_path: Path) -> None:
    assert lines(read(tmp_path, 'a = "x\u2028y\u0085z"\nb = 1\n')) == {("a",): 1, ("b",): 2}


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    document = read(tmp_path, '\ufefftitle = "a"\r\n[protocol]\r\nepochs = 2\r\n')
    assert document.data == {"title": "a", "protocol": {"epochs": 2}}
    assert lines(document)["protocol", "epochs"] == 3


def test_an_empty_file_is_an_empty_document(tmp_path: Path) -> None:
    document = read(tmp_path, "")
    assert (document.data, document.origins) == ({}, {})


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, 'title = "a"\nepochs 3\n')
    assert str(caught.value).startswith(f"{tmp_path / 'file.toml'}:2: not valid TOML: ")


@pytest.mark.parametrize("text", ["a = [1,\n", "a = 1\na = 2\n", "a = 1e\n", "\ta b\n"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="not valid TOML"):
        read(tmp_path, text)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes('title = "Schädel"'.encode("latin-1"))
    with pytest.raises(SpecError, match=r"file\.toml: not UTF-8 text; save it as UTF-8"):
        read_document(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.toml: No such file or directory; give the path"):
        read_document(tmp_path / "gone.toml")


def test_an_unknown_place_falls_back_to_its_table_and_then_to_the_file(tmp_path: Path) -> None:
    document = read(tmp_path, "a = 1\n[b]\nc = { d = 1 }\n")
    assert document.where(("b", "c", "d", "e")) == f"{tmp_path / 'file.toml'}:3"
    assert document.where(("b", "x")) == f"{tmp_path / 'file.toml'}:2"
    assert document.where(("x",)) == str(tmp_path / "file.toml")


NESTED = Document("f.toml", {"a": {"b": {"c": 1}}, "m": [{"name": "x", "w": 1}, {"name": "y", "w": 2}], "t": "s"})


def test_assigning_changes_one_value_and_records_its_origin() -> None:
    document = NESTED.assign("a.b.c", 2, origin="--set")
    assert document.data["a"] == {"b": {"c": 2}}
    assert document.where(("a", "b", "c")) == "--set"
    assert NESTED.data["a"] == {"b": {"c": 1}}


def test_assigning_a_table_removes_the_origins_of_its_former_content() -> None:
    document = Document("f.toml", {"a": {"b": 1}}, {("a",): "f.toml:1", ("a", "b"): "f.toml:2"})
    assert document.assign("a", {"b": 2}, origin="--set").where(("a", "b")) == "--set"


def test_an_entry_of_a_list_is_addressed_by_its_name() -> None:
    document = NESTED.assign("m.y.w", 3, origin="--set")
    assert document.data["m"] == [{"name": "x", "w": 1}, {"name": "y", "w": 3}]
    assert document.where(("m", 1, "w")) == "--set"


def test_assigning_creates_missing_tables_and_records_their_origin() -> None:
    document = NESTED.assign("m.x.new.deep", 1, origin="--set")
    assert document.data["m"][0] == {"name": "x", "w": 1, "new": {"deep": 1}}
    assert NESTED.assign("q.r", 1, origin="--set").where(("q",)) == "--set"


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        ("a..c", "'a..c' is not a path; write it like protocol.epochs"),
        ("", "'' is not a path; write it like protocol.epochs"),
        ("m.x", "'m.x' is an entry; name its parameter, like m.x.width"),
        ("m.xx.w", "m.xx.w: no 'xx' among m; did you mean 'x'?"),
        ("t.u", "t.u: 't' is not a table; set it as a whole"),
        ("a.b.c.d", "a.b.c.d: 'c' is not a table; set it as a whole"),
        ("m.x.w.z", "m.x.w.z: 'w' is not a table; set it as a whole"),
    ],
)
def test_an_invalid_path_is_refused(dotted: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        NESTED.assign(dotted, 1, origin="--set p")
    assert str(caught.value) == f"--set p: {message}"


def test_overlaying_changes_only_the_listed_values() -> None:
    document = Document("f.toml", {"p": {"keep": 1, "deep": {"keep": 2, "change": 3}}})
    laid = document.overlay("p", {"deep": {"change": 4}, "new": [5]}, origin="f.toml:9")
    assert laid.data == {"p": {"keep": 1, "deep": {"keep": 2, "change": 4}, "new": [5]}}
    assert laid.where(("p", "deep", "change")) == "f.toml:9"
    assert laid.where(("p", "deep", "keep")) == "f.toml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        (" 2.5e-3 ", 2.5e-3),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('{ name = "adam" }', {"name": "adam"}),
        ('"7"', "7"),
        ("bce+dice", "bce+dice"),
        ("007", "007"),
        ("2024-01-31", dt.date(2024, 1, 31)),
        ("", ""),
    ],
)
def test_a_value_that_is_not_toml_is_text(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert (parsed, type(parsed)) == (value, type(value))


def test_a_hint_names_the_nearest_word_or_all_known_words() -> None:
    assert nearest("epoch", ["epochs", "batch"]) == "did you mean 'epochs'?"
    assert nearest("zzz", ["epochs", "batch"]) == "known: epochs, batch"
    assert nearest("zzz", []) == "known: none"


# files that would take without end


def in_time(text: str, path: Path, *overrides: str) -> str:
    """Return the one problem of a benchmark file, which must be found within two seconds."""
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        read_benchmark(path, check=lambda *_: (), overrides=overrides)
    assert time.process_time() - start < 2
    (problem,) = caught.value.problems
    assert "\n" not in problem
    assert len(problem) < 500
    return problem


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("[" * 3000 + "]" * 3000, "found arrays or tables nested too deeply, expected at most 32 levels; flatten"),
        ("[" * 40 + "]" * 40, "found arrays or tables nested too deeply"),
        ("{ a = " * 500 + "1" + " }" * 500, "found arrays or tables nested too deeply"),
        ("9" * 5000, "found a number of thousands of digits, expected at most 64 bits; correct it"),
        (
            "99999999999999999999",
            "x: found 99999999999999999999, expected an integer of at most 64 bits; correct it",
        ),
        ("1\n" + ".".join("a" * 3000) + " = 1", "found arrays or tables nested too deeply"),
        ("1\n[" + ".".join("a" * 3000) + "]", "found arrays or tables nested too deeply"),
        ("1\n" + (" . ".join("a" * 1000) + " = 1\n") * 99, "found arrays or tables nested too deeply"),
        ("1\n" + " . ".join(['"b"'] * 3000) + " = 1", "nested too deeply"),
        (
            "1\n" + "".join(f"k{n} = 1\n" for n in range(10_000)),
            "found 10,025 keys, expected at most 2,000; split",
        ),
    ],
    ids=[
        "arrays",
        "few arrays",
        "tables",
        "digits",
        "integer",
        "dotted key",
        "header",
        "many dotted keys",
        "quoted",
        "keys",
    ],
)
def test_a_file_without_measure_is_refused_in_one_line_and_in_time(
    tmp_path: Path, change: str, finding: str
) -> None:
    problem = in_time(f"x = {change}\n{BENCHMARK}", tmp_path / "file.toml")
    assert problem.startswith(f"{tmp_path / 'file.toml'}: ")
    assert finding in problem


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "folds = 2",
            "folds = 99999999999999999999",
            "protocol.folds: found 99999999999999999999, expected an int",
        ),
        (
            "folds = 2",
            "folds = 1000000",
            "protocol.folds: input should be less than or equal to 1000, found 1000000",
        ),
        ("folds = 2", f'folds = "{"x" * 9999}"', "found 'xxx"),
        ('title = "Squares"', "", "title: missing"),
    ],
)
def test_a_value_without_measure_is_cut_and_named_by_its_key(
    tmp_path: Path, old: str, new: str, finding: str
) -> None:
    assert finding in in_time(BENCHMARK.replace(old, new), tmp_path / "file.toml")


def test_lines_of_an_array_of_ten_thousand_lines_are_counted_in_time(tmp_path: Path) -> None:
    text = "x = [\n" + "  1,\n" * 10_000 + "]\ny = 1\n"
    start = time.process_time()
    assert lines(read(tmp_path, text)) == {("x",): 1, ("y",): 10_003}
    assert time.process_time() - start < 2


def test_many_problems_of_one_kind_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_text(BENCHMARK.replace("[protocol]", "[protocol]\n" + "".join(f"k{n} = 1\n" for n in range(1500))))
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        read_benchmark(path, check=lambda *_: ())
    assert time.process_time() - start < 2
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "more than 20 problems of this kind; correct these first"


def test_a_thousand_changes_of_a_rehearsal_are_made_in_time() -> None:
    document = Document("f.toml", {"protocol": {f"k{n}": 0 for n in range(1000)}})
    start = time.process_time()
    laid = document.overlay("protocol", {f"k{n}": n for n in range(1000)}, origin="f.toml:9")
    assert time.process_time() - start < 2
    assert laid.data["protocol"]["k999"] == 999


def test_a_grid_and_runs_without_measure_are_refused(tmp_path: Path) -> None:
    grid = "[grid]\n" + "".join(
        f"'protocol.{key}' = [1, 2, 3, 4]\n" for key in ("epochs", "batch", "keep", "a", "b")
    )
    assert "grid: found 1,024 variants, expected at most 1,000; split" in in_time(
        BENCHMARK + grid, tmp_path / "f.toml"
    )


@pytest.mark.parametrize(
    ("override", "finding"),
    [
        ("a." * 3000 + "b=1", "found 3001 keys, expected at most 32; shorten the path"),
        ("protocol.folds=" + "[" * 3000 + "]" * 3000, "--set: found arrays or tables nested too deeply"),
        (
            "protocol.folds=99999999999999999999",
            "found 99999999999999999999, expected an integer of at most 64 bits",
        ),
    ],
)
def test_an_option_without_measure_is_refused(tmp_path: Path, override: str, finding: str) -> None:
    assert finding in in_time(BENCHMARK, tmp_path / "file.toml", override)


def test_a_file_that_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file.toml")
    with pytest.raises(SpecError, match=r"file\.toml: found a pipe, socket or device, expected a benchmark file"):
        read_document(tmp_path / "file.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(
        SpecError, match=r"large\.toml: found 1,048,577 bytes, expected a benchmark file of at most 1,048,576"
    ):
        read_document(tmp_path / "large.toml")
