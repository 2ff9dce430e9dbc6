"""Facts on the datasets of a plan that its page prints: channels and licence."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.plan.run import Run
from benchbench.registry.faults import task_of
from benchbench.registry.registry import Registry
from benchbench.results.manifest import DatasetFacts


def dataset_facts(runs: Sequence[Run], registry: Registry) -> dict[str, DatasetFacts]:
    """Return the facts of each dataset; its channels are those that any variant reads.

    Raises:
        PluginError: a plugin failed.
    """
    channels: dict[str, dict[str, None]] = {}
    licences: dict[str, str] = {}
    known: set[str] = set()
    for run in runs:
        place = repr((run.key.dataset, run.dataset))
        if place in known:
            continue
        known.add(place)
        plugin = registry.named_dataset(run.dataset)
        task = task_of(plugin, run.dataset.params)
        channels.setdefault(run.key.dataset, {}).update(dict.fromkeys(task.channels))
        licences[run.key.dataset] = plugin.download.licence
    return {
        name: DatasetFacts(channels=tuple(channels[name]), licence=licence) for name, licence in licences.items()
    }
