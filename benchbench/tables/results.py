"""Tables of a benchmark, pure functions of its records: the same records give the same tables."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.plan.expand import RunKey
from benchbench.results.run_folder import Record, ResultsFolder, slug
from benchbench.spec.metric_names import UNITS, is_lower_better, is_overlap
from benchbench.spec.protocol import EmptyPolicy

PHANTOM_NOTE = "phantom data, not a result"
OPTIMISTIC_NOTE = "optimistic selection"
MARKS = ("ensemble_of", "pretrained", "selection")
"""Columns of what sets a row apart from its neighbours, where any row is."""

KEYS = list(RunKey._fields)
GROUP = ["dataset", "model", "variant"]
_COUNTS = list(Counts._fields)
_MEANS = {"case": "mean over cases", "slice": "mean over slices", "pooled": "all voxels pooled"}
_WHOLE = (
    *("rank", "n", "n_cases", "n_ref_empty", "n_penalised", "n_nan"),
    *("parameters", "epochs", "best_epoch", "threads", "peak_memory_bytes", "runs_per_device"),
)

Group = tuple[str, str, str]
"""Dataset, model, variant."""
Line = Mapping[Any, Any]
"""A row of a table."""


class Rules(TypedDict):
    """By which metrics a variant is scored, and what holds for empty masks."""

    metrics: list[str]
    empty: EmptyPolicy


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the tables of a benchmark are made from."""

    manifest: Mapping[str, Any]
    records: Mapping[RunKey, Record]
    """Of the planned runs, those whose record has the planned digest."""
    cases: pd.DataFrame
    """Counts, and distances in mm or px, by run, case and region."""
    slices: pd.DataFrame
    ceilings: pd.DataFrame
    """As `cases`, of the truth as resizing leaves it; of runs whose cases are resized."""
    made: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    """Tables that were asked for, by name: many are made from the same few."""

    @property
    def planned(self) -> list[RunKey]:
        return sorted(RunKey(*(run[key] for key in KEYS)) for run in self.manifest["runs"])

    @property
    def data(self) -> str:
        """What every table says of its data."""
        return PHANTOM_NOTE if self.manifest["phantom"] else "real"

    def metrics(self, variant: str) -> list[str]:
        return list(self.manifest["scores"][variant]["metrics"])

    def empty(self, variant: str) -> EmptyPolicy:
        policy: EmptyPolicy = self.manifest["scores"][variant]["empty"]
        return policy

    def is_optimistic(self, variant: str) -> bool:
        """Whether checkpoints are chosen on the cases that are scored."""
        return bool(self.manifest["scores"][variant]["select_on"] == "report")

    def rules(self, variant: str) -> Rules:
        """What `summaries` asks for."""
        return Rules(metrics=self.metrics(variant), empty=self.empty(variant))

    def is_done(self, key: RunKey) -> bool:
        return key in self.records and self.records[key].status == "done"


def read_results(folder: ResultsFolder) -> Results:
    """The manifest, the records and the counts of a benchmark.

    Raises:
        IntegrityError: a file is not what was written.
    """
    manifest = folder.read_manifest()
    digests = {RunKey(*(run[name] for name in KEYS)): run["digest"] for run in manifest["runs"]}
    records: dict[RunKey, Record] = {}
    tables: dict[str, list[pd.DataFrame]] = {"cases": [], "slices": [], "ceiling": []}
    for key in sorted(digests):
        record = folder.run(key).read_record()
        if record is None or record.digest != digests[key]:
            continue
        records[key] = record
        for name, found in tables.items():
            if f"{name}.parquet" in record.files:
                found.append(folder.run(key).read_table(f"{name}.parquet", record).to_pandas())
    cases, slices, ceilings = map(_together, tables.values())
    return Results(manifest=manifest, records=records, cases=cases, slices=slices, ceilings=ceilings)


def made_once(make: Callable[[Results], pd.DataFrame]) -> Callable[[Results], pd.DataFrame]:
    """Computes a table once for the same results; every caller has a copy of its own."""

    @functools.wraps(make)
    def once(results: Results) -> pd.DataFrame:
        if make.__name__ not in results.made:
            results.made[make.__name__] = make(results)
        return results.made[make.__name__].copy()

    return once


def mixed_data(results: Results) -> list[tuple[str, str]]:
    """Dataset and variant wherever runs of one benchmark did not see the same files in the same folds."""
    seen: dict[tuple[str, str], set[tuple[int, str, str]]] = {}
    for key in filter(results.is_done, results.planned):
        record = results.records[key]
        seen.setdefault((key.dataset, key.variant), set()).add((key.fold, record.split_digest, record.data_digest))
    return [
        where
        for where, states in seen.items()
        if len(states) > len({fold for fold, _, _ in states}) or len({data for _, _, data in states}) > 1
    ]


@made_once
def fold_table(results: Results) -> pd.DataFrame:
    """One row a planned run: its scores by every aggregate, how many cases, how it ended.

    Seconds are in `cost_tables`: they differ from one execution to the next, these numbers do not.
    """
    rows = []
    for key in results.planned:
        record = results.records.get(key)
        ended = {"status": record.status if record else "not run", "reason": record.reason if record else ""}
        scores = _scores(results, key.variant, _of_run(results.cases, key), _of_run(results.slices, key))
        rows.append({**key._asdict(), **ended, **scores, **_recorded(record), "data": results.data})
    table = pd.DataFrame(rows)
    last = [*_recorded(None), "data"]  # a first run without scores would put them before the scores
    return marked(results, whole_numbers(table[[*(name for name in table if name not in last), *last]]))


@made_once
def summary_table(results: Results) -> pd.DataFrame:
    """One row a dataset, model, variant, region, metric and aggregate.

    mean and median are over all cases (or slices) of all folds and seeds, fold_mean and fold_sd over the values
    of the runs; sd has n - 1 below. Runs that diverged or failed are counted, not averaged.
    """
    cases, slices = (_of_done(results, table) for table in (results.cases, results.slices))
    rows: list[dict[str, Any]] = []
    for group in groups_of(results):
        runs, done = runs_of_group(results, group)
        counted = {"runs_done": len(done), "runs_planned": len(runs), "data": results.data}
        lines = summaries(_of_group(cases, group), _of_group(slices, group), **results.rules(group[2]))
        rows += [{**dict(zip(GROUP, group, strict=True)), **line, **counted} for line in lines]
    return marked(results, whole_numbers(pd.DataFrame(rows, columns=None if rows else [*GROUP, "data"])))


def unmeasured(results: Results) -> dict[str, int]:
    """Distances that a variant asks for and how many of its recorded runs do not have them."""
    missing: dict[str, int] = {}
    for (*_, variant, _, _), cases in results.cases.groupby(KEYS, sort=True):
        for metric in results.metrics(variant):
            if not columns_of(metric, cases):
                missing[metric] = missing.get(metric, 0) + 1
    return missing


@made_once
def leaderboard(results: Results) -> pd.DataFrame:
    """One row a dataset, model and variant, best first.

    Ordered by the mean of the first metric over all cases, distances from the least. A rank says nothing of
    significance; it is given to rows with all their runs, among those of the same metric, policy for empty masks
    and data.
    """
    summary = summary_table(results).to_dict("records")
    board = pd.DataFrame([_standing(results, group, summary) for group in groups_of(results)])
    last = list(board.columns[list(board.columns).index("fold_mean") :])
    board = board[
        [*(name for name in board if name not in last), *last]
    ]  # whatever metric a row is the first to have
    board = board.sort_values(["dataset", "order", "model", "variant"], ascending=[True, False, True, True])
    ranked = board["order"].where(board["has_rank"]).groupby([board["dataset"], board["rule"]])
    board.insert(0, "rank", ranked.rank(method="min", ascending=False))
    return marked(results, whole_numbers(board.drop(columns=["order", "rule", "has_rank"])))


def pivot_tables(results: Results, *, marked: bool = True) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, title and table of every pivot that the benchmark asks for, labels marked where they have to be.

    A cell is the mean of the values of its runs, and empty as long as one of them has none. What stands on neither
    axis is averaged if it is fold or seed, and has a table for each of its values otherwise.
    """
    folds = fold_table(results)
    folds = folds if marked else folds.drop(columns=[name for name in MARKS if name in folds])
    orders = {axis: list(dict.fromkeys(run[axis] for run in results.manifest["runs"])) for axis in KEYS}
    for number, spec in enumerate(results.manifest["tables"], start=1):
        axes = [spec["rows"], spec["columns"]]
        others = [axis for axis in GROUP if axis not in axes and len(orders[axis]) > 1]
        points = list(itertools.product(*(orders[axis] for axis in others)))
        for metric, values in itertools.product(_named(spec["value"], folds) or [spec["value"]], points):
            column = metric if spec["aggregate"] == "case" else f"{metric}_{spec['aggregate']}"
            chosen = folds[(folds[others] == list(values)).all(axis=1)] if others else folds
            where = "".join(f", {axis} {value}" for axis, value in zip(others, values, strict=True))
            name = "-".join([str(number), column, spec["rows"], "by", spec["columns"], *map(slug, values)])
            subject = f"{metric} ({_MEANS[spec['aggregate']]}), {spec['rows']} by {spec['columns']}{where}"
            subject += (
                f", {OPTIMISTIC_NOTE}" if "selection" in chosen and (chosen["selection"] != "").all() else ""
            )
            table = _pivot(chosen, axes, column, orders, sd=spec["sd"])
            yield name, f"{results.manifest['title']}: {subject}", table


def _pivot(
    runs: pd.DataFrame, axes: list[str], column: str, orders: Mapping[str, list[Any]], *, sd: bool
) -> pd.DataFrame:
    rows, columns = axes
    scores = runs[column].where(runs["status"] == "done") if column in runs else np.nan
    cells = runs.assign(score=scores).groupby(axes)["score"].agg(_strict_mean)
    order = sorted(orders[rows]) if rows in {"fold", "seed"} else orders[rows]
    table: pd.DataFrame = cells.unstack().reindex(index=order, columns=orders[columns])  # noqa: PD010 one a cell
    table = table.set_axis([_label(runs, rows, name) for name in order])
    if rows == "fold":
        table.loc["mean"] = cells.groupby(columns).agg(_strict_mean)
    if rows == "fold" and sd:
        table.loc["sd"] = cells.groupby(columns).agg(_strict_sd)
    table = table.set_axis([_label(runs, columns, name) for name in orders[columns]], axis=1)
    table.insert(0, rows, table.index, allow_duplicates=True)
    return table.reset_index(drop=True)


def _label(runs: pd.DataFrame, axis: str, name: object) -> str:
    """A name on an axis, marked where it is of ensembles or trained weights, or was chosen on the cases scored."""
    label = str(name)
    for column, note in zip(MARKS, ("ensemble", "pretrained", OPTIMISTIC_NOTE), strict=True):
        if axis in {"model", "variant"} and column in runs:
            has = runs.loc[runs[axis] == name, column] != ""
            label += (f" ({note})" if has.all() else f" (some {note})") if has.any() else ""
    return label


def marked(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """The table with marks behind the variant."""
    if table.empty:
        return table
    groups = list(table[GROUP].itertuples(index=False, name=None))
    return with_marks(results, table, groups, place=int(table.columns.get_loc("variant")) + 1)


def with_marks(
    results: Results, table: pd.DataFrame, groups: Sequence[Group], *, place: int | None = None
) -> pd.DataFrame:
    """The table of rows of these groups, with columns of `MARKS` where any row has one.

    They say of which models a row is an ensemble, which weights a model starts from, if not from random ones, and
    whether its checkpoint was chosen on the cases that are scored.
    """
    starts = {key[:3]: record.pretrained for key, record in results.records.items() if record.pretrained}
    marks = {
        "ensemble_of": [results.manifest["ensembles"].get(model, "") for _, model, _ in groups],
        "pretrained": [starts.get(group, "") for group in groups],
        "selection": [OPTIMISTIC_NOTE if results.is_optimistic(variant) else "" for _, _, variant in groups],
    }
    needed = [name for name in MARKS if (any(starts.values()) if name == "pretrained" else any(marks[name]))]
    first = len(table.columns) if place is None else place
    for at, name in enumerate(needed, start=first):
        table.insert(at, name, marks[name])
    return table


def _strict_mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _strict_sd(values: pd.Series) -> float:
    return float(values.std(skipna=False))


def _standing(results: Results, group: Group, summary: Sequence[Line]) -> dict[str, Any]:
    """A row of the leaderboard, and what decides its rank."""
    dataset, _, variant = group
    runs, done = runs_of_group(results, group)
    lines = [line for line in summary if tuple(line[name] for name in GROUP) == group]
    name, first = _first(results, variant, _of_means(lines))
    parameters = {results.records[key].parameters for key in done}
    gmacs = {results.records[key].cost.get("gmacs") for key in done}
    return {
        **dict(zip(GROUP, group, strict=True)),
        "runs": f"{len(done)} of {len(runs)}",
        **means_of(results, variant, lines),
        "parameters": parameters.pop() if len(parameters) == 1 else None,
        "gmacs": gmacs.pop() if len(gmacs) == 1 else None,
        "order": -first.get("mean", np.nan) if is_lower_better(name) else first.get("mean", np.nan),
        "rule": f"{name} {results.empty(variant)} {results.is_optimistic(variant)}",
        "has_rank": len(done) == len(runs) and (dataset, variant) not in mixed_data(results),
    }


def means_of(results: Results, variant: str, lines: Iterable[Line]) -> dict[str, Any]:
    """What a leaderboard shows of the lines of `summaries`: every metric, and more of the first."""
    means = _of_means(lines)
    _, first = _first(results, variant, means)
    known = [each for metric in results.metrics(variant) for each in _named(metric, means) or [metric]]
    return {
        **{each: means[each]["mean"] if each in means else np.nan for each in known},
        **{part: first.get(part, np.nan) for part in ("fold_mean", "fold_sd", "n", "dice_pos", "n_ref_empty")},
    }


def _of_means(lines: Iterable[Line]) -> dict[str, Line]:
    """The lines of case means over all regions, by metric."""
    return {line["metric"]: line for line in lines if (line["region"], line["aggregate"]) == ("mean", "case")}


def _named(metric: str, lines: Iterable[str]) -> list[str]:
    """What a metric is called among the names of a table: its own, or with a unit."""
    return [name for name in (metric, *(f"{metric}_{unit}" for unit in UNITS)) if name in lines]


def _first(results: Results, variant: str, lines: Mapping[str, Line]) -> tuple[str, Line]:
    """The metric that a leaderboard is ordered by, and its numbers; none where it is known in two units."""
    metric = results.metrics(variant)[0]
    names = _named(metric, lines)
    return (names[0], lines[names[0]]) if len(names) == 1 else (metric, {})


def _recorded(record: Record | None) -> dict[str, Any]:
    if record is None:
        return dict.fromkeys(("parameters", "epochs", "best_epoch", "digest", "data_digest", "split_digest"))
    digests = {name: getattr(record, name)[:12] for name in ("digest", "data_digest", "split_digest")}
    return {"parameters": record.parameters, "epochs": record.epochs, "best_epoch": record.best_epoch, **digests}


def _scores(results: Results, variant: str, cases: pd.DataFrame, slices: pd.DataFrame) -> dict[str, Any]:
    """A run's columns: case means under the metric's own name, other aggregates under theirs."""
    lines = list(summaries(cases, slices, **results.rules(variant)))
    if not lines:
        return {}
    row = {
        "n_cases": max(line["n"] for line in lines if line["aggregate"] == "case"),
        "n_ref_empty": lines[0]["n_ref_empty"],
    }
    has_several_regions = len({line["region"] for line in lines}) > 2
    for line in lines:
        name = line["metric"] if line["aggregate"] == "case" else f"{line['metric']}_{line['aggregate']}"
        if line["region"] == "mean":
            row[name] = line["mean"]
        elif has_several_regions:
            row[f"{name}:{line['region']}"] = line["mean"]
    return {**row, "dice_pos": lines[0]["dice_pos"]}


def summaries(
    cases: pd.DataFrame, slices: pd.DataFrame | None, *, metrics: Sequence[str], empty: EmptyPolicy
) -> Iterator[dict[str, Any]]:
    """For every metric and aggregate: the mean over regions, then each region."""
    if cases.empty:
        return
    for name in (name for metric in metrics for name in columns_of(metric, cases)):
        # a distance is of a whole case
        tables = {"case": cases, "slice": slices, "pooled": cases} if is_overlap(name) else {"case": cases}
        for aggregate, table in tables.items():
            if table is None:
                continue
            known = table if is_overlap(name) else table[table[name].notna()]
            regions = [
                {"region": region, **_summary(name, part, empty, is_pooled=aggregate == "pooled")}
                for region, part in known.groupby("region", sort=False)
            ]
            for line in (_over_regions(regions), *regions):
                of_runs = line.pop("of_runs")
                yield {"metric": name, "aggregate": aggregate, "empty": empty, **line, **_over_runs(of_runs)}


def columns_of(metric: str, cases: pd.DataFrame) -> list[str]:
    """What a metric is called in tables of these cases: a distance has a name for each unit it was measured in.

    None where it is not known of every case: a mean of the others would be of other cases than its neighbours'.
    """
    if is_overlap(metric):
        return [metric]
    found = [name for unit in UNITS if (name := f"{metric}_{unit}") in cases and cases[name].notna().any()]
    return found if found and cases[found].notna().any(axis=1).all() else []


def _summary(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> dict[str, Any]:
    """The numbers of one region; `of_runs` has the value of each run."""
    is_positive, is_predicted = part["tp"] + part["fn"] > 0, part["tp"] + part["fp"] > 0
    is_new = ~part[["case", "slice"] if "slice" in part else ["case"]].duplicated()  # again under every seed
    values = case_values(metric, part, policy, is_pooled=is_pooled)
    runs = [run for _, run in part.groupby(["fold", "seed"])]
    return {
        "n": int(is_new.sum()),
        "n_ref_empty": int((is_new & ~is_positive).sum()),
        "n_penalised": int((is_positive != is_predicted).sum()),
        "n_nan": int(np.isnan(values).sum()),
        "mean": _mean(values),
        "median": np.nan if is_pooled else _median(values),
        "dice_pos": _mean(case_values("dice", part[is_positive], policy, is_pooled=False)),
        "of_runs": [_mean(case_values(metric, run, policy, is_pooled=is_pooled)) for run in runs],
    }


def _over_regions(regions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The unweighted mean over regions, nan if a region has no value; empty and undefined masks add up."""
    averaged = {name: float(np.mean([line[name] for line in regions])) for name in ("mean", "median", "dice_pos")}
    added = {name: sum(line[name] for line in regions) for name in ("n_ref_empty", "n_penalised", "n_nan")}
    of_runs = np.mean([line["of_runs"] for line in regions], axis=0)
    return {"region": "mean", "n": regions[0]["n"], **added, **averaged, "of_runs": of_runs}


def _over_runs(values: Sequence[float]) -> dict[str, float]:
    known = np.array([value for value in values if not np.isnan(value)])
    sd = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    return {"fold_mean": _mean(known), "fold_sd": sd}


def case_values(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> np.ndarray:
    """The score of each row, or the one score of all rows added up."""
    counts = part[_COUNTS].to_numpy().T
    if not is_overlap(metric):
        return distance(metric, part[metric], Counts(*counts), empty=policy)
    return overlap(metric, Counts(*(counts.sum(axis=1, keepdims=True) if is_pooled else counts)), empty=policy)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan


def groups_of(results: Results) -> list[Group]:
    return sorted({key[:3] for key in results.planned})


def runs_of_group(results: Results, group: Group) -> tuple[list[RunKey], list[RunKey]]:
    """The runs planned, and those of them that are done."""
    planned = [key for key in results.planned if key[:3] == group]
    return planned, [key for key in planned if results.is_done(key)]


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=[*KEYS, "case", "patient", "region", *_COUNTS])
    return pd.concat(tables, ignore_index=True) if tables else empty


def _of_run(table: pd.DataFrame, key: RunKey) -> pd.DataFrame:
    return table[(table[KEYS] == list(key)).all(axis=1)]


def _of_group(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    return table[(table[GROUP] == list(group)).all(axis=1)]


def of_runs(table: pd.DataFrame, keys: Iterable[RunKey]) -> pd.DataFrame:
    """The lines of a table that are of these runs."""
    wanted = {tuple(key) for key in keys}
    found = [line in wanted for line in table[KEYS].itertuples(index=False, name=None)]
    return table[np.array(found, dtype=bool)]


def _of_done(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    return of_runs(table, filter(results.is_done, results.planned))


def whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, also where some are missing."""
    return table.astype({name: "Int64" for name in _WHOLE if name in table})
