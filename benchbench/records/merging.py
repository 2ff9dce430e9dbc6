"""Merging: the runs of one benchmark from several machines, copied into one results folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchbench.errors import IncompatibleError
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import Manifest, PlannedRun
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder

_SHARED = (
    "name",
    "title",
    "phantom",
    "scores",
    "ensembles",
    "external",
    "own_settings",
    "tables",
    "listings",
    "reported",
)
_RANK = {"failed": 1, "waiting": 2, "diverged": 3, "done": 3}


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The outcome of a merge."""

    copied: int
    """Number of runs that were copied."""
    present: int
    """Number of runs that were in the target already."""
    planned: int
    """Number of runs of the benchmark."""
    twice: tuple[RunKey, ...]
    """Runs that are done in two folders with different scores; those of the first folder are used."""


def merge(sources: Sequence[ResultsFolder], target: ResultsFolder) -> Merged:
    """Copy the runs of the sources into the target, whose own runs stay; its report is not written.

    Raises:
        IncompatibleError: the folders differ in protocol, code, data or split.
        IntegrityError: a file was damaged or edited.
    """
    folders = [*sources]
    if target.has_manifest:
        folders.insert(0, target)
    manifests = [folder.read_manifest() for folder in folders]
    planned = _planned_digests(folders, manifests)
    candidates = [candidate for folder in folders for candidate in _candidates(folder, planned)]
    _check_same_data(candidates)
    best, twice = _choose(candidates)
    for candidate in best:
        candidate.verify()
    runs = tuple(PlannedRun(**key._asdict(), digest=digest) for key, digest in planned.items())
    target.write_manifest(manifests[0].model_copy(update={"runs": runs}))
    copied = [candidate for candidate in best if candidate.folder != target]
    for candidate in copied:
        candidate.run.copy_to(target.run(candidate.key))
    return Merged(copied=len(copied), present=len(best) - len(copied), planned=len(planned), twice=twice)


@dataclass(frozen=True)
class _Candidate:
    """A run of one folder that has a record."""

    folder: ResultsFolder
    key: RunKey
    record: Record

    @property
    def run(self) -> RunFolder:
        return self.folder.run(self.key)

    @property
    def scores_digest(self) -> str | None:
        return self.record.files.get("cases.parquet")

    def verify(self) -> None:
        """Compare the digests of all files that the record lists, and read the tables among them."""
        self.run.verify_all(self.record)
        for name in self.record.files:
            if name.endswith(".parquet"):
                self.run.read_table(name, self.record)


def _planned_digests(folders: Sequence[ResultsFolder], manifests: Sequence[Manifest]) -> dict[RunKey, str]:
    """Return every planned run and its digest, on which all folders must agree."""
    problems: list[str] = []
    planned: dict[RunKey, tuple[str, ResultsFolder]] = {}
    for folder, manifest in zip(folders, manifests, strict=True):
        problems += _differences(folder, manifest, folders[0], manifests[0])
        for run in manifest.runs:
            digest, other = planned.setdefault(run.key, (run.digest, folder))
            if digest != run.digest:
                problems.append(
                    f"{run.key}: digest {run.digest[:12]} in {folder.path}, but {digest[:12]} in {other.path}:"
                    " another protocol or code; run it again with one of them"
                )
    if problems:
        raise IncompatibleError(*problems)
    return {key: digest for key, (digest, _) in planned.items()}


def _differences(
    folder: ResultsFolder, manifest: Manifest, first_folder: ResultsFolder, first: Manifest
) -> Iterator[str]:
    content, first_content = manifest.dump(), first.dump()
    for name in _SHARED:
        if content[name] != first_content[name]:
            yield (
                f"{folder.path}: '{name}' is {content[name]!r}, but {first_content[name]!r} in"
                f" {first_folder.path}; merge results of one benchmark file only"
            )


def _candidates(folder: ResultsFolder, planned: Mapping[RunKey, str]) -> Iterator[_Candidate]:
    """Yield the runs of a folder whose record has the planned digest; another digest is an outdated result."""
    for key, digest in planned.items():
        record = folder.run(key).read_record()
        if record is not None and record.digest == digest:
            yield _Candidate(folder, key, record)


def _choose(candidates: Sequence[_Candidate]) -> tuple[list[_Candidate], tuple[RunKey, ...]]:
    """Return the best candidate for each run, and the runs that are done twice with different scores."""
    best: dict[RunKey, _Candidate] = {}
    twice: set[RunKey] = set()
    for candidate in candidates:
        other = best.get(candidate.key)
        if other is None or _RANK[candidate.record.status] > _RANK[other.record.status]:
            best[candidate.key] = candidate
        elif _are_done_differently(candidate, other):
            twice.add(candidate.key)
    return list(best.values()), tuple(sorted(twice))


def _are_done_differently(one: _Candidate, other: _Candidate) -> bool:
    are_done = one.record.status == other.record.status == "done"
    return are_done and one.scores_digest != other.scores_digest


def _check_same_data(candidates: Sequence[_Candidate]) -> None:
    """Compare the digests of files within a dataset and variant, and of splits within a fold of them."""
    first_seen: dict[tuple[str | int, ...], tuple[str, ResultsFolder]] = {}
    problems: list[str] = []
    for candidate in candidates:
        key, record, folder = candidate.key, candidate.record, candidate.folder
        digests = (
            ("files", record.data_digest, (key.dataset, key.variant)),
            ("split", record.split_digest, (key.dataset, key.variant, key.fold)),
        )
        for kind, digest, place in digests:
            known, other = first_seen.setdefault((kind, *place), (digest, folder))
            if digest != known:
                problems.append(
                    f"{key}: {kind} {digest[:12]} in {folder.path}, but {known[:12]} in {other.path};"
                    f" run it again with the same {kind}"
                )
    if problems:
        raise IncompatibleError(*problems)
