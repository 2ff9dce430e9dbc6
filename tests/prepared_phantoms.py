"""Phantoms, and cases of any opened dataset, prepared as a protocol says."""

from __future__ import annotations

from pathlib import Path

from benchbench import Dataset
from benchbench.data.digests import case_digests
from benchbench.data.folder import open_dataset
from benchbench.data.phantom import phantom_root
from benchbench.engine.preparation.prepare import CasePreparation, prepare_cases
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.protocol import Protocol


def open_phantom(registry: Registry, name: str, size: PhantomSize, *, cache: Path) -> Dataset:
    plugin = registry.dataset(name)
    return open_dataset(plugin, {}, data_root=phantom_root(plugin, size, cache=cache))


def prepare(dataset: Dataset, protocol: Protocol, *, cache: Path) -> list[PreparedCase]:
    digests = case_digests(dataset, dataset.cases(), threads=1)
    preparation = CasePreparation(dataset=dataset, digests=digests, protocol=protocol, recipe="test", cache=cache)
    return list(prepare_cases(preparation, threads=1, progress=lambda: None).values())
