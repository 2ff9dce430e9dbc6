"""Tables of a benchmark, pure functions of its records: the same records give the same tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchbench.metrics import Counts, overlap
from benchbench.plan import RunKey
from benchbench.protocol import EmptyPolicy, Metric
from benchbench.store import Record, ResultsFolder

PHANTOM_NOTE = "phantom data, not a result"

KEYS = list(RunKey._fields)
_GROUP = ["dataset", "model", "variant"]
_COUNTS = list(Counts._fields)
_MANY_EMPTY = 0.05


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the tables of a benchmark are made from."""

    manifest: Mapping[str, Any]
    records: Mapping[RunKey, Record]
    """Of the planned runs, those whose record has the planned digest."""
    cases: pd.DataFrame
    """Counts by run, case and region."""
    slices: pd.DataFrame

    @property
    def planned(self) -> list[RunKey]:
        return sorted(RunKey(*(run[key] for key in KEYS)) for run in self.manifest["runs"])

    @property
    def data(self) -> str:
        """What every table says of its data."""
        return PHANTOM_NOTE if self.manifest["phantom"] else "real"

    def metrics(self, variant: str) -> list[Metric]:
        return list(self.manifest["scores"][variant]["metrics"])

    def empty(self, variant: str) -> EmptyPolicy:
        policy: EmptyPolicy = self.manifest["scores"][variant]["empty"]
        return policy


def read_results(folder: ResultsFolder) -> Results:
    """The manifest, the records and the counts of a benchmark.

    Raises:
        IntegrityError: a file is not what was written.
    """
    manifest = folder.read_manifest()
    records, cases, slices = {}, [], []
    for run in manifest["runs"]:
        key = RunKey(*(run[name] for name in KEYS))
        record = folder.run(key).read_record()
        if record is None or record.digest != run["digest"]:
            continue
        records[key] = record
        if "cases.parquet" in record.files:
            cases.append(folder.run(key).read_table("cases.parquet", record).to_pandas())
            slices.append(folder.run(key).read_table("slices.parquet", record).to_pandas())
    return Results(manifest=manifest, records=records, cases=_together(cases), slices=_together(slices))


def fold_table(results: Results) -> pd.DataFrame:
    """One row a planned run: its scores by every aggregate, how many cases, how it ended.

    Seconds are in `cost_table`: they differ from one execution to the next, these numbers do not.
    """
    rows = []
    for key in results.planned:
        record = results.records.get(key)
        row = {**key._asdict(), "status": record.status if record else "not run", "reason": record.reason if record else ""}
        row |= _scores(results, key.variant, _of_run(results.cases, key), _of_run(results.slices, key))
        row |= {"parameters": record.parameters, "epochs": record.epochs, "best_epoch": record.best_epoch} if record else {}
        row |= {name: getattr(record, name)[:12] for name in ("digest", "data_digest", "split_digest")} if record else {}
        rows.append({**row, "data": results.data})
    return _whole_numbers(pd.DataFrame(rows))


def cost_table(results: Results) -> pd.DataFrame:
    """One row a run that ended: what it took, on what."""
    rows = []
    for key in results.planned:
        if (record := results.records.get(key)) is None:
            continue
        given = record.provenance
        row = {**key._asdict(), "seconds": round(record.seconds, 3), "epochs": record.epochs}
        row |= {"device": given.get("name", given.get("device")), "threads": given.get("threads")}
        row |= {"precision": given.get("precision"), "peak_memory_bytes": given.get("peak_memory_bytes")}
        rows.append({**row, "data": results.data})
    return _whole_numbers(pd.DataFrame(rows, columns=None if rows else [*KEYS, "seconds", "data"]))


def summary_table(results: Results) -> pd.DataFrame:
    """One row a dataset, model, variant, region, metric and aggregate.

    mean and median are over all cases (or slices) of all folds and seeds, fold_mean and fold_sd over the values
    of the runs; sd has n - 1 below. Runs that diverged or failed are counted, not averaged.
    """
    cases, slices = (_of_done(results, table) for table in (results.cases, results.slices))
    rows = []
    for group in _groups(results):
        runs = [key for key in results.planned if key[:3] == group]
        done = [key for key in runs if _is_done(results, key)]
        counted = {"runs_done": len(done), "runs_planned": len(runs)}
        named = dict(zip(_GROUP, group, strict=True))
        of_cases, of_slices = _of_group(cases, group), _of_group(slices, group)
        for line in _summaries(results, group[2], of_cases, of_slices):
            rows.append({**named, **line, **counted, "data": results.data})
    return _whole_numbers(pd.DataFrame(rows))


def leaderboard(results: Results) -> pd.DataFrame:
    """One row a dataset, model and variant, best first; only complete rows have a rank.

    Ordered by the mean of the first metric over all cases. A rank says nothing of significance.
    """
    summary = summary_table(results)
    rows = []
    for group in _groups(results):
        metrics = results.metrics(group[2])
        chosen = summary[(summary[_GROUP] == list(group)).all(axis=1) & (summary["region"] == "mean")] if len(summary) else summary
        of_case = {line.metric: line for line in chosen.itertuples() if line.aggregate == "case"}
        runs = [key for key in results.planned if key[:3] == group]
        done = [key for key in runs if _is_done(results, key)]
        row: dict[str, Any] = {**dict(zip(_GROUP, group, strict=True)), "runs": f"{len(done)} of {len(runs)}"}
        row |= {metric: of_case[metric].mean if metric in of_case else np.nan for metric in metrics}
        first = of_case.get(metrics[0])
        row |= {"fold_mean": first.fold_mean, "fold_sd": first.fold_sd, "n": first.n} if first else {"fold_mean": np.nan}
        row |= {"dice_pos": first.dice_pos, "n_ref_empty": first.n_ref_empty} if first else {}
        parameters = {results.records[key].parameters for key in done}
        row["parameters"] = parameters.pop() if len(parameters) == 1 else None
        rows.append({**row, "order": row[metrics[0]], "complete": len(done) == len(runs)})
    board = pd.DataFrame(rows).sort_values(["dataset", "order", "model", "variant"], ascending=[True, False, True, True])
    ranked = board["order"].where(board["complete"])
    board.insert(0, "rank", ranked.groupby(board["dataset"]).rank(method="min", ascending=False))
    return _whole_numbers(board.drop(columns=["order", "complete"]))


def pivot_tables(results: Results) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, title and table of every pivot that the benchmark asks for.

    A cell is the mean of the values of its runs. What stands on neither axis is averaged if it is fold or seed,
    and has a table for each of its values otherwise.
    """
    folds = fold_table(results)
    folds = folds[folds["status"] == "done"]
    orders = {axis: list(dict.fromkeys(run[axis] for run in results.manifest["runs"])) for axis in KEYS}
    for number, spec in enumerate(results.manifest["tables"], start=1):
        column = spec["value"] if spec["aggregate"] == "case" else f"{spec['value']}_{spec['aggregate']}"
        axes = [spec["rows"], spec["columns"]]
        others = [axis for axis in _GROUP if axis not in axes and len(orders[axis]) > 1]
        for values in itertools.product(*(orders[axis] for axis in others)):
            chosen = folds[(folds[others] == list(values)).all(axis=1)] if others else folds
            table = _pivot(chosen, axes, column, orders)
            where = "".join(f", {axis} {value}" for axis, value in zip(others, values, strict=True))
            name = "-".join([str(number), column, spec["rows"], "by", spec["columns"], *map(str, values)])
            title = f"{results.manifest['title']}: {_described(column)}, {spec['rows']} by {spec['columns']}{where}"
            yield name, title, table


def _pivot(chosen: pd.DataFrame, axes: Sequence[str], column: str, orders: Mapping[str, list[Any]]) -> pd.DataFrame:
    rows, columns = axes
    if column not in chosen:
        chosen = chosen.assign(**{column: np.nan})
    table = chosen.pivot_table(index=rows, columns=columns, values=column, aggfunc="mean", dropna=False)
    table = table.reindex(index=sorted(orders[rows]) if rows in {"fold", "seed"} else orders[rows], columns=orders[columns])
    labelled = table.astype(float)
    labelled.index = labelled.index.astype(str)
    if rows == "fold":
        labelled.loc["mean"], labelled.loc["sd"] = table.mean(), table.std()
    labelled.columns = [str(name) for name in labelled.columns]
    return labelled.rename_axis(rows).reset_index()


def _described(column: str) -> str:
    metric, _, aggregate = column.partition("_")
    unit = {"": "mean over cases", "slice": "mean over slices", "pooled": "all voxels pooled"}[aggregate]
    return f"{metric} ({unit})"


def _scores(results: Results, variant: str, cases: pd.DataFrame, slices: pd.DataFrame) -> dict[str, Any]:
    """A run's columns: case means under the metric's own name, other aggregates under theirs."""
    lines = list(_summaries(results, variant, cases, slices))
    row: dict[str, Any] = {"n_cases": lines[0]["n"], "n_ref_empty": lines[0]["n_ref_empty"]} if lines else {}
    several = len({line["region"] for line in lines}) > 2
    for line in lines:
        suffix = "" if line["aggregate"] == "case" else f"_{line['aggregate']}"
        if line["region"] == "mean":
            row[f"{line['metric']}{suffix}"] = line["mean"]
        elif several:
            row[f"{line['metric']}{suffix}:{line['region']}"] = line["mean"]
    return row | ({"dice_pos": lines[0]["dice_pos"]} if lines else {})


def _summaries(results: Results, variant: str, cases: pd.DataFrame, slices: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For every metric and aggregate: the mean over regions, then each region."""
    if cases.empty:
        return
    policy = results.empty(variant)
    for metric in results.metrics(variant):
        for aggregate, table in (("case", cases), ("slice", slices), ("pooled", cases)):
            named = {"metric": metric, "aggregate": aggregate, "empty": policy}
            regions = [
                {"region": region, **_summary(metric, aggregate, part, policy)}
                for region, part in table.groupby("region", sort=False)
            ]
            yield {**named, "region": "mean", **_over_regions(regions)}
            for line in regions:
                yield {**named, **line}


def _summary(metric: Metric, aggregate: str, part: pd.DataFrame, policy: EmptyPolicy) -> dict[str, Any]:
    units = ["case", "slice"] if "slice" in part else ["case"]
    positive = part["tp"] + part["fn"] > 0
    counted = {"n": len(part[units].drop_duplicates()), "n_ref_empty": int((~positive[~part[units].duplicated()]).sum())}
    dice_pos = float(_score("dice", part[positive], policy).mean()) if positive.any() else np.nan
    runs = part.groupby(["fold", "seed"], sort=True)
    if aggregate == "pooled":
        value = float(_score(metric, part[_COUNTS].sum().to_frame().T, policy)[0])
        of_runs = [float(_score(metric, run[_COUNTS].sum().to_frame().T, policy)[0]) for _, run in runs]
        spread = {"mean": value, "median": np.nan, "n_nan": int(np.isnan(value))}
    else:
        values = _score(metric, part, policy)
        of_runs = [_mean(_score(metric, run, policy)) for _, run in runs]
        spread = {"mean": _mean(values), "median": _median(values), "n_nan": int(np.isnan(values).sum())}
    return {**spread, **_over_runs(of_runs), **counted, "dice_pos": dice_pos}


def _over_runs(values: Sequence[float]) -> dict[str, float]:
    known = np.array([value for value in values if not np.isnan(value)])
    sd = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    return {"fold_mean": _mean(known), "fold_sd": sd}


def _over_regions(regions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The unweighted mean over regions; nan if a region has no value."""
    averaged = {name: float(np.mean([line[name] for line in regions])) for name in ("mean", "median", "dice_pos")}
    averaged |= {name: float(np.mean([line[name] for line in regions])) for name in ("fold_mean", "fold_sd")}
    return {**averaged, "n": regions[0]["n"], **{name: sum(line[name] for line in regions) for name in ("n_ref_empty", "n_nan")}}


def _score(metric: Metric, part: pd.DataFrame, policy: EmptyPolicy) -> np.ndarray:
    return overlap(metric, Counts(*(part[name].to_numpy() for name in _COUNTS)), empty=policy)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan


def _groups(results: Results) -> list[tuple[str, str, str]]:
    return sorted({key[:3] for key in results.planned})


def _is_done(results: Results, key: RunKey) -> bool:
    return key in results.records and results.records[key].status == "done"


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=[*KEYS, "case", "patient", "region", *_COUNTS])
    return pd.concat(tables, ignore_index=True) if tables else empty


def _of_run(table: pd.DataFrame, key: RunKey) -> pd.DataFrame:
    return table[(table[KEYS] == list(key)).all(axis=1)]


def _of_group(table: pd.DataFrame, group: tuple[str, str, str]) -> pd.DataFrame:
    return table[(table[_GROUP] == list(group)).all(axis=1)]


def _of_done(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    done = {key for key in results.planned if _is_done(results, key)}
    return table[np.array([RunKey(*values) in done for values in table[KEYS].itertuples(index=False, name=None)], dtype=bool)]


def _whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, also where some are missing."""
    whole = ["rank", "n", "n_cases", "n_ref_empty", "n_nan", "parameters", "epochs", "best_epoch", "peak_memory_bytes", "threads"]
    return table.astype({name: "Int64" for name in whole if name in table})
