"""The prepared cases of a job file on this machine: from the cache, from a local disk, or prepared here."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchbench.cores import available_cores
from benchbench.data.atomic import new_folder
from benchbench.data.cache import mark_used
from benchbench.data.digests import case_digests
from benchbench.data.folder import open_dataset
from benchbench.data.phantom import phantom_root
from benchbench.data.pinned import pin
from benchbench.engine.preparation.prepare import CasePreparation, verify_cases
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.preparation.statistics import read_statistics
from benchbench.errors import IncompatibleError, IntegrityError
from benchbench.launch.job_file import JOB_FILE_NAME, CaseOfJob, PreparedData, prepared_folder, references
from benchbench.registry.registry import discover
from benchbench.registry.sources import source_digest
from benchbench.spec.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Roots:
    """The folders of this machine to which the paths of a job file are relative."""

    cache: Path
    data_root: Path | None
    scratch: Path | None = None
    """Folder on a local disk to which prepared cases are copied; None to read them where they are."""

    @property
    def prepared(self) -> Path:
        """The folder whose prepared cases runs read."""
        return self.scratch or self.cache


@dataclass(frozen=True)
class DataOfJobs:
    """The cases of one dataset that are prepared in one way."""

    content: PreparedData
    protocol: Protocol
    roots: Roots
    compress: bool

    def provide(self, names: Collection[str]) -> None:
        """Make sure that the cases of these names are where runs read them, with the bytes as they were written.

        Raises:
            IncompatibleError: the dataset or its plugin is not that of the plan.
            DataError: a case cannot be prepared.
            StorageError: the cache cannot be written.
        """
        needed = [case for case in self.content.cases if case.id in names]
        absent = [case for case in needed if not self._is_present(case)]
        if absent:
            self._prepare(absent)
        mark_used(prepared_folder(case, self.roots.prepared) for case in needed)

    def prepared(self, names: Sequence[str]) -> tuple[PreparedCase, ...]:
        """Return the prepared cases of these names."""
        return tuple(self._prepared_cases[name] for name in names)

    @cached_property
    def _prepared_cases(self) -> dict[str, PreparedCase]:
        refs = references(self.content.cases)
        cases: dict[str, PreparedCase] = {}
        for case in self.content.cases:
            cases[case.id] = PreparedCase(refs[case.id], prepared_folder(case, self.roots.prepared))
        return cases

    def _is_present(self, case: CaseOfJob) -> bool:
        target = self._prepared_cases[case.id]
        if not target.damage(of_content=True):
            return True
        source = PreparedCase(target.case, prepared_folder(case, self.roots.cache))
        if source.folder == target.folder or source.damage(of_content=True):
            return False
        _stage(source.folder, target.folder)
        return not PreparedCase(target.case, target.folder).damage(of_content=True)

    def _prepare(self, cases: Sequence[CaseOfJob]) -> None:
        """Prepare cases from the files of the dataset, which must be those of the plan."""
        chosen = self.content.dataset
        registry = discover([self.content.entry_point])
        plugin = registry.named_dataset(chosen)
        check_source(chosen.name, source_digest(plugin.open), chosen.source_digest)
        root = self.roots.data_root
        if self.content.phantom is not None:
            root = phantom_root(plugin, self.content.phantom, cache=self.roots.cache)
        dataset = open_dataset(plugin, chosen.params, data_root=root)
        refs = references(cases)
        pinned = pin(dataset, list(refs.values()))
        digests = case_digests(dataset, list(refs.values()), threads=available_cores())
        changed = [case for case in cases if digests[case.id] != case.digest]
        if changed:
            raise IncompatibleError(*[_describe_change(chosen.name, case, digests[case.id]) for case in changed])
        preparation = CasePreparation(
            dataset=pinned,
            digests=digests,
            protocol=self.protocol,
            recipe=self.content.recipe,
            cache=self.roots.prepared,
            compress=self.compress,
            statistics=read_statistics(self.content.statistics),
        )
        self._check_folders(preparation, cases)
        verify_cases(preparation, list(refs.values()), threads=available_cores(), progress=_ignore)

    def _check_folders(self, preparation: CasePreparation, cases: Sequence[CaseOfJob]) -> None:
        """Refuse a benchbench that would store a case elsewhere, because it prepares cases in another way."""
        for case in cases:
            expected = prepared_folder(case, self.roots.prepared)
            if preparation.folder_of(references([case])[case.id]) != expected:
                raise IntegrityError(
                    f"{JOB_FILE_NAME}: {case.id} is {expected.name[:12]} in the plan, but is prepared in another"
                    " way here; install the same version of benchbench or plan again"
                )


def check_source(name: str, present: str, planned: str) -> None:
    """Refuse a plugin whose source is not that of the plan.

    Raises:
        IncompatibleError: names both digests.
    """
    if present != planned:
        raise IncompatibleError(
            f"plugin '{name}': source {present[:12]} is installed here, but the plan was made with {planned[:12]};"
            " install the same version or plan again"
        )


def _describe_change(dataset: str, case: CaseOfJob, digest: str) -> str:
    return (
        f"{dataset}: {case.id}: files {digest[:12]} here, but {case.digest[:12]} in the plan; copy the dataset"
        " again or plan again"
    )


def _stage(source: Path, target: Path) -> None:
    """Copy a prepared case to a local disk; its folder is named for its content, so that no other can be there."""
    with contextlib.suppress(FileExistsError), new_folder(target, replace=target.exists()) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def _ignore() -> None:
    """Ignore the progress of a preparation."""
