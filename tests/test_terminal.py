"""Terminal output at 60, 80 and 120 columns and in a pipe: whole values, no repetition, nothing wider than need be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from commands import benchbench
from handmade import end, graded, key, plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_benchmark import Finished

from benchbench.cli.progress import LiveLines
from benchbench.cli.terminal import Column, cell_width, format_table, plain, wrap
from benchbench.comparison import Outcome, compare_results
from benchbench.launch.progress_lines import Lines
from benchbench.run.assignment import Progress

WIDTHS = [60, 80, 120, None]
"""Columns of the terminal; None is a pipe."""
RANGE = st.sampled_from(["-", "0.4123", "+0.41239876", "a_name", "failed", "漢字", "x" * 33])


def assert_fits(output: str, width: int | None) -> None:
    """Assert that no line is wider than the terminal, except paths, which are not wrapped."""
    for line in output.splitlines():
        is_path = line.startswith(("page: ", "tables, weights and curves: "))
        assert width is None or is_path or cell_width(line) <= width, line


def columns(*names: str, keys: int = 1) -> list[Column]:
    return [Column(name=name, is_key=place < keys, is_number=place >= keys) for place, name in enumerate(names)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(RANGE, min_size=6, max_size=6), min_size=1, max_size=5), st.integers(20, 130))
def test_no_cell_of_a_table_is_ever_cut(rows: list[list[str]], width: int) -> None:
    headings = columns("model", "dice", "sensitivity", "hd95_mm", "note", "last", keys=1)
    text = "\n".join(format_table(headings, rows, width=width))
    cells = [cell for row in rows for cell in row]
    for cell in cells:
        assert cell in text
    if all(len(cell) < 13 for cell in cells) and width >= 40:
        assert_fits(text, width)


def test_text_is_wrapped_by_columns_and_not_by_letters() -> None:
    assert wrap("one two 漢字 漢字", 12) == ["one two 漢字", "  漢字"]
    assert wrap("  indented text", 10) == ["  indented", "  text"]
    assert wrap("a_long_path_that_is_not_cut and more", 10) == ["a_long_path_that_is_not_cut", "  and more"]


def test_a_table_that_fits_is_printed_as_it_is_and_a_pipe_has_no_limit() -> None:
    rows = [["unet", "0.8123", "12.5"], ["unext", "0.9", "3"]]
    expected = [
        "model    dice  hd95_mm",
        "-----  ------  -------",
        "unet   0.8123     12.5",
        "unext     0.9        3",
    ]
    assert format_table(columns("model", "dice", "hd95_mm"), rows, width=22) == expected
    assert format_table(columns("model", "dice", "hd95_mm"), rows) == expected


def test_a_wide_table_of_few_rows_is_transposed_and_one_of_many_rows_is_split() -> None:
    names = [f"metric_{number}" for number in range(6)]
    values = [f"0.{number}123" for number in range(6)]
    two = format_table(columns("model", *names), [["unet", *values], ["unext", *reversed(values)]], width=30)
    assert two[0].split() == ["model", "unet", "unext"]
    assert two[2].split() == ["metric_0", "0.0123", "0.5123"]
    rows = [[f"model{number}", *values[number:], *values[:number]] for number in range(6)]
    many = format_table(columns("model", *names), rows, width=40)
    assert [line for line in many if line.startswith("model ")] == [
        "model   metric_0  metric_1  metric_2",
        "model   metric_3  metric_4  metric_5",
    ]


def test_a_row_with_a_cell_wider_than_the_terminal_becomes_a_list() -> None:
    reason = "a long reason that is wider than the terminal and is wrapped between words"
    lines = format_table(columns("key", "first", "second"), [["loss", reason, "x" * 50]], width=40)
    assert lines[0] == "loss"
    assert " ".join(" ".join(lines).split()) == f"loss first {reason} second {'x' * 50}"


def test_constant_columns_become_one_line_and_empty_ones_are_left_out() -> None:
    rows = [["unet", "lgg", "", "0.1"], ["unext", "lgg", "", "0.1"]]
    lines = format_table(
        [*columns("model", "dataset", "note", keys=3), Column(name="dice", is_number=True, is_fixed=True)], rows
    )
    assert lines[:2] == ["in every row: dataset lgg", "model  dice"]
    assert format_table(columns("model", "dice"), [["unet", "0.1"]])[0] == "model  dice"


def test_control_characters_and_markup_in_a_name_are_printed_as_text() -> None:
    assert plain("a\x1b[31m\n[/red]") == r"a\x1b[31m\n[/red]"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    folder = graded(tmp_path_factory.mktemp("graded"), {"grand_model": 0.2, "plain_model": 0.0})
    return compare_results("grand_model", "plain_model", results=folder.path)


@pytest.mark.parametrize("width", WIDTHS)
def test_compare_prints_every_number_whole(
    tmp_path: Path, outcomes: list[Outcome], width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.comparison.compare_results", lambda *_, **__: outcomes)
    done = benchbench("compare", "grand_model", "plain_model", cwd=tmp_path, columns=width)
    assert done.returncode == 0, done.stderr
    assert_fits(done.stdout, width)
    assert "…" not in done.stdout
    (outcome,) = outcomes
    for comparison in outcome.comparisons.values():
        interval: Any = comparison.interval
        assert f"{comparison.difference:+.4f}" in done.stdout
        assert f"[{interval.low:+.4f}, {interval.high:+.4f}]" in done.stdout
        assert f"{comparison.wins}/{comparison.ties}/{comparison.losses}" in done.stdout
        assert comparison.p_holm < 0.0001  # type: ignore[operator]
        assert "< 0.0001" in done.stdout


def write_cases(folder: Path, cases: int) -> None:
    generator = np.random.default_rng(0)
    for side in ("reference", "prediction"):
        (folder / side).mkdir()
        for case in range(cases):
            labels = generator.integers(0, 4, (6, 6, 4)).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / side / f"case{case}.nii.gz")


@pytest.mark.parametrize("width", WIDTHS)
def test_score_prints_fifteen_means_in_few_lines_with_each_note_once(tmp_path: Path, width: int | None) -> None:
    write_cases(tmp_path, cases=3)
    labels = ["--labels", "whole=1,2,3 core=1,3 enhancing=3"]
    done = benchbench("score", "reference", "prediction", *labels, "--out", "out", cwd=tmp_path, columns=width)
    assert done.returncode == 0, done.stderr
    assert_fits(done.stdout, width)
    text = " ".join(done.stdout.split())
    assert text.count("3 cases are too few for an interval; 10 are the least") == 1
    assert "in every row: n 3" in text
    assert len(done.stdout.splitlines()) < 60
    summary = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    means = re.findall(r"^(\w+),case,(\w+),.*", "\n".join(summary), flags=re.MULTILINE)
    assert len(means) == 20  # five metrics of three regions and their mean
    for metric, region in means:
        assert f"{metric} " in text
        assert f"{region} " in text


@pytest.mark.parametrize("width", WIDTHS)
def test_plan_leaves_out_constant_columns(finished: Finished, width: int | None) -> None:
    done = benchbench("plan", finished.file, cwd=finished.root, columns=width)
    assert_fits(done.stdout, width)
    lines = done.stdout.splitlines()
    assert " ".join(done.stdout.split()).startswith(
        "in every row: dataset squares, model plain, variant default, seed 0 fold digest state"
    )
    end = lines.index("sizes: training / inner validation / test")
    assert [line.split()[0::2] for line in lines[end - 2 : end]] == [["0", "done"], ["1", "done"]]
    assert lines[-1] == "2 runs, 0 to do"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", [["list"], ["show", "plain"], ["show", "squares"], ["doctor"]])
def test_lists_are_wrapped_between_words(tmp_path: Path, words: Sequence[str], width: int | None) -> None:
    done = benchbench(*words, cwd=tmp_path, columns=width)
    for line in done.stdout.splitlines():
        single_word = len(line.split()) == 1
        assert width is None or single_word or cell_width(line) <= width, line


def live_lines(*models: str, epochs: int = 100) -> LiveLines:
    assignments: list[Any] = [
        SimpleNamespace(
            key=key(model, fold),
            members=(),
            external=None,
            digest=f"{model} {fold}",
            planned_epochs=epochs,
        )
        for model in models
        for fold in range(5)
    ]
    live = LiveLines()
    live.on_runs_start(assignments, done=2)
    return live


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_progress_line_has_run_epoch_loss_count_and_remaining_time(width: int) -> None:
    live = live_lines("attention_unet", "segresnet_vae")
    run = key("segresnet_vae", 3)
    live.on_run_event(run, Progress(12, 100, "loss 0.341, validation Dice 0.812"))
    live.on_run_event(run, Progress(12.4, 100))
    lines = live.lines(width)
    for line in lines:
        assert len(line) <= width
    if width >= 80:
        assert len(lines) == 1
    text = "  ".join(line.strip() for line in lines)
    assert re.fullmatch(
        r"(discs/segresnet_vae/default/fold3/seed0|segresnet_vae/fold3)  epoch 13/100  loss 0.341"
        r"(, validation Dice 0.812)?  2/12 runs  about \d:\d\d:\d\d left",
        re.sub(r" {2,}", "  ", text),
    )


def test_without_an_active_run_the_progress_line_says_what_is_done() -> None:
    live = LiveLines()
    live.on_preparation_start("lgg", 110)
    live.on_case_prepared()
    assert live.lines(80)[0].startswith("lgg: preparing cases 1/110  0:00:0")
    live.on_runs_start([], done=4)
    assert live.lines(80)[0].startswith("4/4 runs  writing tables, figures and page  0:00:0")


def test_a_log_line_has_run_epoch_loss_count_and_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(print)
    assignment: Any = SimpleNamespace(key=key("plain", 0), digest="", members=(), external=None, planned_epochs=2)
    lines.on_runs_start([assignment], done=0)
    lines.on_run_event(key("plain", 0), Progress(1, 2, "loss 0.341"))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "1 run to do, 0 already done"
    assert second.startswith("discs/plain/default/fold0/seed0: epoch 1 of 2, loss 0.341, 0 of 1 run done, about ")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_runs_has_the_metrics_of_the_benchmark_in_its_order(
    tmp_path: Path, width: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchbench.cli.summary import print_summary

    monkeypatch.setattr("benchbench.cli.summary.read_card", lambda _: SimpleNamespace(verdicts=[]))
    monkeypatch.setattr("benchbench.cli.terminal.terminal_width", lambda: width)
    folder = plan(tmp_path / "b", [key("plain", 0), key("plain", 1)], metrics=["hd95", "sensitivity", "dice"])
    end(folder, key("plain", 0), {"a": {"disc": [(4, 0, 0, 6)]}}, {"a": {"hd95_mm": 1.5}})
    end(folder, key("plain", 1), None, status="failed", reason="CUDA out of memory, [/red] asked for 1.5 GiB")
    print_summary(folder)
    output = capsys.readouterr().out
    assert_fits(output, width)
    heading = next(line for line in output.splitlines() if line.startswith("fold"))
    assert heading.split() == ["fold", "hd95_mm", "sensitivity", "dice", "status"]
    assert "0   1.5000       1.0000  1.0000  done" in output
    reason = "discs/plain/default/fold1/seed0: failed: CUDA out of memory, [/red] asked for 1.5 GiB"
    assert reason in " ".join(output.split())
