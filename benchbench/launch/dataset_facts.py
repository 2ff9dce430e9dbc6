"""Facts on the datasets of a plan that its page prints: channels, licence and number of patients."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.contract import Download
from benchbench.plan.run import Run
from benchbench.records.manifest import DatasetFacts
from benchbench.registry.faults import task_of
from benchbench.registry.registry import Registry


def dataset_facts(runs: Sequence[Run], registry: Registry) -> dict[str, DatasetFacts]:
    """Return the facts of each dataset; its channels are those that any variant reads.

    Raises:
        PluginError: a plugin failed.
    """
    channels: dict[str, dict[str, None]] = {}
    downloads: dict[str, Download] = {}
    known: set[str] = set()
    for run in runs:
        place = repr((run.key.dataset, run.dataset))
        if place in known:
            continue
        known.add(place)
        plugin = registry.named_dataset(run.dataset)
        task = task_of(plugin, run.dataset.params)
        channels.setdefault(run.key.dataset, {}).update(dict.fromkeys(task.channels))
        downloads[run.key.dataset] = plugin.download
    facts: dict[str, DatasetFacts] = {}
    for name, download in downloads.items():
        names = tuple(channels[name])
        facts[name] = DatasetFacts(channels=names, licence=download.licence, patients=download.patients)
    return facts
