"""The probability that the best row of a printed table is not the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from benchbench.cli import cli
from benchbench.cli.claims import claims_command
from benchbench.spec.reported import ReportedTable
from benchbench.statistics import p_from_folds, p_from_printed
from benchbench.tables.claims import ASSUMED_CORRELATION, claims_of, describe_claims

REPORTED = Path(__file__).parents[1] / "benchmarks" / "reported"


def printed(columns: tuple[str, ...], *rows: tuple[str | float, ...], n: int | None = None) -> ReportedTable:
    return ReportedTable(benchmark="b", columns=columns, rows=rows, tolerance=0.0, n=n)


def test_the_probability_of_two_printed_means_is_that_of_claims_reloaded() -> None:
    # sqrt(100) x 0.02 / sqrt(0.1^2 + 0.1^2 - 2 x 0.1 x 0.1 x 0.5) = 0.2 / 0.1 = 2
    p = p_from_printed(0.02, (0.1, 0.1), n=100, correlation=0.5)
    assert p == pytest.approx(stats.t.sf(2, 99))
    independent = p_from_printed(0.02, (0.1, 0.1), n=100, correlation=0.0)
    assert independent == pytest.approx(stats.t.sf(2 / np.sqrt(2), 99))
    assert p_from_printed(0.02, (0.1, 0.1), n=100, correlation=1.0) == 0
    assert p_from_printed(0.0, (0.1, 0.1), n=100, correlation=1.0) == 0.5


def test_the_probability_from_folds_is_that_of_the_corrected_t_test() -> None:
    differences = np.array([0.01, 0.03, 0.02, 0.02, 0.02])
    t = 0.02 / np.sqrt((1 / 5 + 1 / 4) * 0.00005)
    assert p_from_folds(differences) == pytest.approx(stats.t.sf(t, 4))


def test_the_best_row_is_compared_with_the_one_that_comes_closest() -> None:
    table = printed(("model", "dice", "dice_sd"), ("a", 0.80, 0.1), ("b", 0.82, 0.01), ("c", 0.81, 0.1), n=100)
    (claim,) = claims_of(table, correlation=0.5)
    assert (claim.best, claim.rival, claim.metric) == ("b", "c", "dice")
    assert claim.p == pytest.approx(p_from_printed(0.01, (0.01, 0.1), n=100, correlation=0.5))


def test_of_a_distance_the_lowest_row_is_the_best() -> None:
    table = printed(("model", "hd95_mm", "hd95_mm_sd"), ("a", 3.0, 1.0), ("b", 5.0, 2.0), n=20)
    (claim,) = claims_of(table, correlation=0.0)
    assert (claim.best, claim.p) == ("a", pytest.approx(stats.t.sf(np.sqrt(20) * 2 / np.sqrt(5), 19)))


def test_a_table_of_folds_compares_its_columns() -> None:
    folds = printed(("fold", "a", "b"), ("0", 0.9, 0.8), ("1", 0.8, 0.75), ("mean", 0.1, 0.9))
    (claim,) = claims_of(folds, correlation=0.5)
    assert (claim.best, claim.rival) == ("a", "b")
    assert claim.p == pytest.approx(p_from_folds(np.array([0.1, 0.05])))


@pytest.mark.parametrize(
    "table",
    [
        printed(("model", "dice"), ("a", 0.9), ("b", 0.8), n=10),
        printed(("model", "dice", "dice_sd"), ("a", 0.9, 0.1), ("b", 0.8, 0.1)),
        printed(("model", "dice", "dice_sd"), ("a", 0.9, 0.1), ("b", 0.8, "-"), n=10),
        printed(("fold", "a", "b"), ("0", 0.9, 0.8)),
    ],
)
def test_a_table_without_spread_has_no_probability(table: ReportedTable) -> None:
    (sentence,) = describe_claims(table, correlation=0.5)
    assert sentence.startswith("no probability: ")


def test_the_command_prints_a_line_for_each_table() -> None:
    done = CliRunner().invoke(cli, ["claims", str(REPORTED / "brats21.toml")])
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    # the folds of the document: 0.0001, 0.0010, 0.0022, 0.0019, 0.0008
    differences = np.array([0.0001, 0.0010, 0.0022, 0.0019, 0.0008])
    p = p_from_folds(differences)
    assert f"Architectures: unet before segresnet_vae: P(false claim) {p:.3f} (5 folds" in text


def test_a_file_that_is_not_of_printed_tables_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("document = 3\n")
    done = CliRunner().invoke(cli, ["claims", str(path)])
    assert done.exit_code != 0


def test_the_correlation_of_the_command_is_that_of_the_reports() -> None:
    assert (
        next(option.default for option in claims_command.params if option.name == "correlation")
        == ASSUMED_CORRELATION
    )
