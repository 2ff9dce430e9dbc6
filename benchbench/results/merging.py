"""Brings the results of one benchmark from several machines together, and refuses to mix what does not belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbench.errors import IncompatibleError
from benchbench.plan.run import KEYS, RunKey
from benchbench.results.folder import ResultsFolder
from benchbench.results.record import Record
from benchbench.results.run_folder import RunFolder

_SHARED = ("name", "title", "phantom", "scores", "ensembles", "tables", "listings", "reported")
_WORTH = {"failed": 1, "diverged": 2, "done": 2}


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What became of the runs."""

    copied: int
    kept: int
    """Already in the target."""
    planned: int
    twice: tuple[RunKey, ...]
    """Done in two folders with different scores; the first folder's are taken."""


def merge(sources: Sequence[ResultsFolder], target: ResultsFolder) -> Merged:
    """Copy the runs of the sources into the target, whose own runs stay; its report is not written.

    Raises:
        IncompatibleError: the folders differ in protocol, code, data or split.
        IntegrityError: a file is not what was written.
    """
    is_begun = (target.path / "benchmark.json").exists()
    folders = [*([target] if is_begun else []), *sources]
    manifests = [folder.read_manifest() for folder in folders]
    planned = _planned(folders, manifests)
    found = [_Found(folder, key, record) for folder in folders for key, record in _records(folder, planned)]
    _check_same_data(found)
    best: dict[RunKey, _Found] = {}
    twice = []
    for each in found:
        other = best.get(each.key)
        if other is None or _WORTH[each.record.status] > _WORTH[other.record.status]:
            best[each.key] = each
        elif each.record.status == other.record.status == "done" and each.scores != other.scores:
            twice.append(each.key)
    for each in best.values():
        each.verify()
    target.write_manifest({**manifests[0], "runs": [{**key._asdict(), "digest": planned[key]} for key in planned]})
    copied = [each for each in best.values() if each.folder != target]
    for each in copied:
        each.run.copy_to(target.run(each.key))
    return Merged(
        copied=len(copied), kept=len(best) - len(copied), planned=len(planned), twice=tuple(sorted(set(twice)))
    )


@dataclass(frozen=True)
class _Found:
    folder: ResultsFolder
    key: RunKey
    record: Record

    @property
    def run(self) -> RunFolder:
        return self.folder.run(self.key)

    @property
    def scores(self) -> str | None:
        return self.record.files.get("cases.parquet")

    def verify(self) -> None:
        for name in self.record.files:
            self.run.read_table(name, self.record)


def _planned(folders: Sequence[ResultsFolder], manifests: Sequence[Mapping[str, Any]]) -> dict[RunKey, str]:
    """Every planned run and its digest, on which all folders agree."""
    problems = []
    planned: dict[RunKey, tuple[str, ResultsFolder]] = {}
    for folder, manifest in zip(folders, manifests, strict=True):
        problems += [
            f"{folder.path}: '{name}' is {manifest[name]!r}, but {manifests[0][name]!r} in {folders[0].path};"
            " merge results of one benchmark file only"
            for name in _SHARED
            if manifest[name] != manifests[0][name]
        ]
        for run in manifest["runs"]:
            key, digest = RunKey(*(run[name] for name in KEYS)), run["digest"]
            known, where = planned.setdefault(key, (digest, folder))
            if known != digest:
                problems.append(
                    f"{key}: digest {digest[:12]} in {folder.path}, but {known[:12]} in {where.path}: another"
                    " protocol or code; run it again with one of them"
                )
    if problems:
        raise IncompatibleError(*problems)
    return {key: digest for key, (digest, _) in planned.items()}


def _records(folder: ResultsFolder, planned: Mapping[RunKey, str]) -> Iterator[tuple[RunKey, Record]]:
    """Those of the planned digest; a record of another is no result of this benchmark any more."""
    for key, digest in planned.items():
        record = folder.run(key).read_record()
        if record is not None and record.digest == digest:
            yield key, record


def _check_same_data(found: Sequence[_Found]) -> None:
    seen: dict[tuple[Any, ...], tuple[str, ResultsFolder]] = {}
    problems = []
    for each in found:
        where = (each.key.dataset, each.key.variant)
        for name, place in (("data_digest", where), ("split_digest", (*where, each.key.fold))):
            digest = getattr(each.record, name)
            known, folder = seen.setdefault((name, *place), (digest, each.folder))
            if digest != known:
                what = "files" if name == "data_digest" else "split"
                problems.append(
                    f"{each.key}: {what} {digest[:12]} in {each.folder.path}, but {known[:12]} in {folder.path};"
                    f" run it again with the same {what}"
                )
    if problems:
        raise IncompatibleError(*problems)
