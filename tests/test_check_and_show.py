"""Tests of `benchbench check`, `benchbench show` and the page of models."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchbench.cli import cli
from benchbench.cli.models_page import models_page
from benchbench.contract import Geometry, ModelPlugin, Published
from benchbench.errors import BenchbenchError, UsageError
from benchbench.registry.registry import Installed, Origin, discover


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words, standalone_mode=False)


def test_checking_a_model_prints_one_line_per_rule() -> None:
    done = invoke("check", "plain", "--set", "width=3")
    assert done.return_value == 1, "its factory does not describe its parameters"
    assert "ok    2D       overfits: it learns one batch to a Dice above 0.8" in done.output
    assert "FAIL  2D       documented:" in done.output
    assert "parameter 'width' is not described, expected a sentence" in done.output
    assert "-     2D       published:" in done.output
    assert "(no counts are published in 2D)" in done.output
    assert "plain: 11 rules passed, 1 failed, 3 skipped" in done.output


def test_a_wrong_output_is_reported_and_the_later_rules_are_skipped() -> None:
    done = invoke("check", "wrong")
    assert done.return_value == 1
    assert "images (2, 2, 64, 64): returned (2, 3, 64, 64), expected (2, 2, 64, 64)" in done.output
    assert "-     2D       overfits: it learns one batch to a Dice above 0.8 (fix 'shapes' first)" in done.output


def test_a_dataset_is_checked_on_a_phantom_or_on_its_files(squares: Path) -> None:
    assert "ok    phantom  load" in invoke("check", "squares").output
    done = invoke("check", "squares", "--data-root", str(squares))
    assert f"{squares / 'squares'} load: a case agrees with the task" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "plian"], "no dataset or model plugin 'plian' is installed; did you mean 'plain'?"),
        (["check", "plain", "--set", "width"], "--set width: no '='; write it like --set width=8"),
        (["show", "plain", "--set", "wdith=2"], "--set wdith: no such parameter; did you mean 'width'?"),
        (["show", "plain", "--geometry", "64x64"], "--geometry 64x64: expected channels and two or three sizes"),
        (["list", "--markdown"], "write benchbench list models --markdown"),
    ],
)
def test_a_user_error_is_one_line(words: list[str], message: str) -> None:
    done = invoke(*words)
    assert isinstance(done.exception, BenchbenchError)
    assert done.exception.exit_code == UsageError.exit_code
    assert message in str(done.exception)


def test_a_model_is_shown_with_its_exact_cost_and_fitting_datasets() -> None:
    # 3 to 4 and 4 to 2 channels, both 3 wide, with a norm of 4 channels between
    parameters = (3 * 9 + 1) * 4 + 2 * 4 + (4 * 9 + 1) * 2
    gmacs = (3 * 9 * 4 + 4 * 9 * 2) * 32 * 64 / 1e9
    output = invoke("show", "plain", "--geometry", "3x32x64", "--regions", "2").output
    assert f"at 3 -> 2, 32 × 64: {parameters:,} parameters, {gmacs:.3f} GMACs" in output
    assert "receptive field: 5 × 5 of an input of 32 × 64" in output
    assert "squares (1 -> 1)" in output
    assert "  width: int = 4\n" in output


@pytest.mark.slow
def test_a_model_says_why_it_does_not_fit_a_dataset() -> None:
    output = invoke("show", "monai_vnet", "--geometry", "1x32x32").output
    assert "squares (1 -> 1)" in output
    assert "lgg: monai_vnet: found 3 channels, expected 1, 2, 4, 8 or 16" in output


def test_a_3d_model_refuses_2d_geometries() -> None:
    assert "this model is 3D; give as many axes" in invoke("show", "solid", "--geometry", "1x32x32").output


def test_a_dataset_is_shown_with_its_task_and_the_description_of_its_parameters() -> None:
    output = invoke("show", "brats20").output
    assert "channels: flair, t1, t1ce, t2" in output
    assert "whole_tumour (1, 2, 4), tumour_core (1, 4), enhancing (4)" in output
    assert "  slices: tuple[int, int] | None = None\n      The first axial slice to keep, counted from 0" in output


def test_the_page_marks_counts_that_differ_from_published_ones() -> None:
    plain = discover(["toy"]).models["plain"].plugin
    origin = Origin(entry_point="toy", module="toy", distribution="toy", version="1")
    claims = [
        Published(source="a paper", geometry=Geometry(1, 1, (32, 32)), params={"width": 2}, parameters=count)
        for count in (43, 44)
    ]
    plugin = ModelPlugin(
        name="toy", build=plain.build, source="none", ndims=frozenset({2}), published=tuple(claims)
    )
    rows = models_page({"toy": Installed(plugin, origin)}).splitlines()[-2:]
    # (9 + 1) * 2 + 2 * 2 + (2 * 9 + 1) numbers
    assert rows[0] == "| `toy` | `width=2` | 1 → 1 | 32 × 32 | 43 | 0.000 | 43 (a paper) | same |"
    assert rows[1].endswith("| 43 | 0.000 | 44 (a paper) | **differs** |")
