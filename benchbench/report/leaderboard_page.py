"""The leaderboard in Markdown, with the verdicts and everything needed to interpret it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench.comparison.board import Board
from benchbench.records.record import Record
from benchbench.report.board_tables import standing_table
from benchbench.report.text import plain_markdown, to_markdown
from benchbench.spec.metric_names import is_overlap
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.one_model import without_single_model
from benchbench.tables.references import BACKGROUND, UPPER_BOUND, with_references
from benchbench.tables.results import Results, mixed_data
from benchbench.tables.summaries import MEAN_REGION, summary_table, unmeasured
from benchbench.words import count

_MANY_EMPTY = 0.05  # share of cases with an empty reference that deserves a note
_SCORES = (
    "Scores are means over all test cases of all folds. Each case is scored once per seed, as a whole volume on"
    " its own grid, with the checkpoint that the inner validation selected. `fold_mean` and `fold_sd` are over the"
    " values of the runs. Empty masks: `{policies}`. A rank is the order of the means and says nothing about"
    " significance."
)
_DISTANCES = (
    "Distances are in mm where the voxel size of a case is known, and in pixels (`px`) otherwise. Where only one"
    " of the two masks is empty, the distance is the diagonal of the case, and nsd is 0: `n_penalised` in"
    " `summary.csv` counts these values, which change the median less than the mean."
)
_RANKS = (
    "`ranks` are the places that a row may have: below every row shown to be better, above every row shown to be"
    " worse. All of them hold together with a probability of 95 %. `differences.csv` has every pair of rows."
)
_REFERENCES = {
    BACKGROUND: "`all background` is an empty prediction: a model that finds nothing has these scores.",
    UPPER_BOUND: (
        "`truth, resized` is the resampling upper bound, the reference resized to the network's input and back:"
        " the difference to a perfect score is lost by resizing."
    ),
}


def leaderboard_page(results: Results, boards: Sequence[Board] = ()) -> str:
    """Return the page in Markdown; without boards it has neither verdicts nor ranks."""
    table = with_references(leaderboard(results), results)
    paragraphs = [f"# {plain_markdown(results.manifest.title)}"]
    if results.note:
        paragraphs.append(f"**{results.note}**")
    paragraphs += [plain_markdown(str(board.verdict)) for board in boards]
    paragraphs.append(to_markdown(without_single_model(results, table)).rstrip("\n"))
    paragraphs += _ranks(boards)
    paragraphs += _explanations(results)
    labels = set(table["model"])
    paragraphs += [text for label, text in _REFERENCES.items() if label in labels]
    paragraphs += _problems(results)
    return "\n\n".join(paragraphs) + "\n"


def _ranks(boards: Sequence[Board]) -> Iterator[str]:
    if not boards:
        return
    yield "## Ranks"
    yield to_markdown(standing_table(boards)).rstrip("\n")
    yield _RANKS
    compared = [board for board in boards if board.comparisons]
    if compared:
        yield "\n".join(f"{board.dataset}: {plain_markdown(board.family)}." for board in compared)


def _explanations(results: Results) -> Iterator[str]:
    policies = sorted({results.empty(variant) for variant in results.manifest.scores})
    yield _SCORES.format(policies="`, `".join(policies))
    metrics = [metric for variant in results.manifest.scores for metric in results.metrics(variant)]
    if not all(map(is_overlap, metrics)):
        yield _DISTANCES
    yield from map(plain_markdown, absent_region_notes(results))
    share = _largest_share_of_empty(results)
    if share > _MANY_EMPTY:
        yield f"In {share:.0%} of the cases the reference is empty, which raises the mean; see `dice_pos`."


def _largest_share_of_empty(results: Results) -> float:
    """Return the share of cases with an empty reference, in the region where it is largest.

    Regions that no case has are left out: a sentence of their own names them.
    """
    summary = summary_table(results)
    if summary.empty:
        return 0.0
    regions = summary[(summary["region"] != MEAN_REGION) & (summary["aggregate"] == "case")]
    shares = regions["n_ref_empty"] / regions["n"]
    return float(shares[shares < 1].max()) if (shares < 1).any() else 0.0


def _problems(results: Results) -> Iterator[str]:
    """Yield failed runs, mixed data, missing metrics and missing runs."""
    keys = sorted(results.records, key=lambda key: key.order)
    records = [results.records[key] for key in keys]
    failed = [record for record in records if record.status != "done"]
    if failed:
        yield "## Failed and diverged runs"
        yield "\n".join(map(_describe_ending, failed))
    for dataset, variant in mixed_data(results):
        place = plain_markdown(f"{dataset}, {variant}")
        yield f"{place}: runs used different files or splits, so there is no rank; run them again."
    for metric, n_runs in unmeasured(results).items():
        remedy = "`benchbench run` measures it without training again"
        yield f"{metric} is not measured yet in {count(n_runs, 'run')}; {remedy}."
    n_missing = sum(key not in results.records for key in results.planned)
    if n_missing:
        yield f"{n_missing} of {len(results.planned)} planned runs are not done yet."


def _describe_ending(record: Record) -> str:
    first_line = "".join(record.reason.splitlines()[:1])
    return f"- {plain_markdown(f'{record.key}: {record.status}: {first_line}')}"
