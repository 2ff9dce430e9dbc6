"""The finished runs that the name of a command refers to: a run folder, or a row of a benchmark."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.errors import IntegrityError, UsageError
from benchbench.plan.run import Group, RunKey
from benchbench.records.folder import ResultsFolder, benchmark_folders
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.weights import weights_digest
from benchbench.spec.document import nearest

ALL = "all"
_RECORD = "run.json"
_LEVELS = 4  # from the folder of a run up to the results folder: variant, model, dataset, runs


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that is done."""

    folder: RunFolder
    record: Record

    @property
    def results(self) -> ResultsFolder:
        """The results folder that the run is in; a folder without a manifest if the run was moved."""
        parents = self.folder.path.absolute().parents
        return ResultsFolder(parents[min(_LEVELS, len(parents) - 1)])


@dataclass(frozen=True, kw_only=True)
class Row:
    """The way to choose runs of a row: all options of the command that do so."""

    results: Path
    dataset: str | None = None
    folds: str | None = None
    """Numbers, separated by commas, or `all`; None for the first fold that is done."""
    seeds: str | None = None
    """The same for seeds."""


def choose_runs(source: str, row: Row) -> list[FinishedRun]:
    """Return the run in the folder `source`, or runs of the row `model` or `model:variant` of a results folder.

    A run folder with a choice of folds or seeds is the row that the run belongs to.

    Raises:
        UsageError: there is no such run or row, several rows match, a run is not done, or it is a control.
        IntegrityError: a record was damaged, or is of another version.
    """
    runs = _named_runs(source, row)
    record = runs[0].record
    if record.resolved.get("control") is not None:
        raise UsageError(f"{source}: {record.model} is a control, which predicts nothing; give another row")
    return runs


def _named_runs(source: str, row: Row) -> list[FinishedRun]:
    """Return the runs that the name refers to, which may be those of a control."""
    path = Path(source)
    if (path / _RECORD).is_file():
        run = _run_in(path)
        if row.folds is None and row.seeds is None:
            return [run]
        return _runs_of_row(run.results, run.record.key.group, row)
    if path.is_dir() or "/" in source:
        raise UsageError(f"{source}: {_not_a_run(path)}")
    folder = _results_folder(row.results)
    return _runs_of_row(folder, _find_group(source, folder, row.dataset), row)


def members_of(run: FinishedRun) -> list[FinishedRun]:
    """Return the runs whose weights predict: the members of an ensemble, otherwise the run itself.

    Raises:
        UsageError: a member is missing or not done.
        IntegrityError: a member has other weights than those that the ensemble predicted with.
    """
    if not run.record.members or run.record.tuning:  # the best trials have their weights in the run itself
        return [run]
    planned = {str(planned.key): planned.key for planned in run.results.read_manifest().runs}
    members: list[FinishedRun] = []
    for name, digest in run.record.members.items():
        if name not in planned:
            raise UsageError(
                f"{run.record.key}: its member {name} is not in benchmark.json; run the benchmark again"
            )
        member = _run_in(run.results.run(planned[name]).path)
        if weights_digest(member.folder) != digest:
            raise IntegrityError(
                f"{member.folder.path}: found other weights than those that {run.record.key} predicted with; run"
                " the benchmark again"
            )
        members.append(member)
    return members


def describe_choice(runs: Sequence[FinishedRun], row: Row) -> str:
    """Return one sentence that names the runs, and how to use the other folds of their row."""
    first = runs[0].record.key
    if len(runs) > 1:
        names = [f"fold {run.record.fold} seed {run.record.seed}" for run in runs]
        return f"predicting with the mean of {first.dataset}/{first.model}/{first.variant}: {', '.join(names)}"
    text = f"predicting with {first}"
    if row.folds is not None or row.seeds is not None or not runs[0].results.has_manifest:
        return text
    others = [run.key for run in runs[0].results.read_manifest().runs if run.key.group == first.group]
    folds = len({key.fold for key in others})
    if folds > 1:
        text += f", one of {folds} folds; --folds all predicts with their mean"
    return text


def _run_in(path: Path) -> FinishedRun:
    folder = RunFolder(path)
    record = folder.read_record()
    if record is None:
        if (path / _RECORD).exists():
            raise IntegrityError(
                f"{path / _RECORD}: written by another version of benchbench; run the benchmark again"
            )
        raise UsageError(f"{path}: this run is not done; run the benchmark")
    if record.status != "done":
        raise UsageError(f"{path}: this run {record.status} ({record.reason}); choose another run")
    return FinishedRun(folder=folder, record=record)


def _runs_of_row(folder: ResultsFolder, group: Group, row: Row) -> list[FinishedRun]:
    planned = [run.key for run in folder.read_manifest().runs if run.key.group == group]
    done = [key for key in planned if _is_done(folder, key)]
    if not done:
        raise UsageError(f"{folder.path}: no run of {'/'.join(group)} is done; run the benchmark")
    folds = _numbers(row.folds, _folds(planned), _folds(done), option="--folds")
    seeds = _numbers(row.seeds, _seeds(planned, folds), _seeds(done, folds), option="--seeds")
    chosen = [key for key in planned if key.fold in folds and key.seed in seeds]
    return [_run_in(folder.run(key).path) for key in chosen]


def _folds(keys: Sequence[RunKey]) -> set[int]:
    return {key.fold for key in keys}


def _seeds(keys: Sequence[RunKey], folds: Collection[int]) -> set[int]:
    return {key.seed for key in keys if key.fold in folds}


def _is_done(folder: ResultsFolder, key: RunKey) -> bool:
    record = folder.run(key).read_record()
    return record is not None and record.status == "done"


def _numbers(text: str | None, planned: Collection[int], done: Collection[int], *, option: str) -> set[int]:
    """Return the chosen folds or seeds; without a choice the lowest one that is done."""
    if text is None:
        return {min(done or planned)}
    if text == ALL:
        return set(planned)
    numbers: set[int] = set()
    for word in text.split(","):
        if not word.strip().isdecimal() or int(word) not in planned:
            known = ", ".join(map(str, sorted(planned)))
            raise UsageError(f"{option} {text}: found '{word.strip()}', expected some of {known}, or {ALL}")
        numbers.add(int(word))
    return numbers


def _find_group(name: str, folder: ResultsFolder, dataset: str | None) -> Group:
    """Return the one row of this name.

    Raises:
        UsageError: there is none, or several.
    """
    groups = list(dict.fromkeys(run.key.group for run in folder.read_manifest().runs))
    model, _, variant = name.partition(":")
    models = sorted({group.model for group in groups})
    if model not in models:
        raise UsageError(f"{name}: no such model in {folder.path}; {nearest(model, models)}")
    of_model = [group for group in groups if group.model == model]
    variant = _one_variant(name, variant, of_model)
    datasets = sorted(group.dataset for group in of_model if group.variant == variant)
    return Group(_one_dataset(name, dataset, datasets), model, variant)


def _one_variant(name: str, variant: str, groups: Sequence[Group]) -> str:
    variants = sorted({group.variant for group in groups})
    if variant in variants:
        return variant
    if variant:
        raise UsageError(f"{name}: no such variant of '{groups[0].model}'; {nearest(variant, variants)}")
    if len(variants) > 1:
        listed = ", ".join(f"{groups[0].model}:{label}" for label in variants)
        raise UsageError(f"{name}: found {len(variants)} variants, expected one; give one of {listed}")
    return variants[0]


def _one_dataset(name: str, dataset: str | None, datasets: Sequence[str]) -> str:
    if dataset is None and len(datasets) > 1:
        raise UsageError(f"{name}: found runs on {', '.join(datasets)}, expected one; choose with --dataset")
    if dataset is not None and dataset not in datasets:
        raise UsageError(f"--dataset {dataset}: no run of {name} on it; {nearest(dataset, datasets)}")
    return dataset or datasets[0]


def _results_folder(path: Path) -> ResultsFolder:
    folder = ResultsFolder(path)
    if folder.has_manifest:
        return folder
    state = "no benchmark.json in this folder" if path.is_dir() else "no such folder"
    others = [str(benchmark.path) for benchmark in benchmark_folders(path)]
    remedy = f"give one of {', '.join(others)}" if others else "give the results folder of one benchmark"
    raise UsageError(f"--results {path}: {state}; {remedy}")


def _not_a_run(path: Path) -> str:
    if ResultsFolder(path).has_manifest:
        return f"a results folder, not a run; name one of its models and add --results {path}"
    if path.is_dir():
        return "no run.json in this folder; give the folder of a run, or a model and --results"
    return "no such folder; give the folder of a run, or a model and --results"
