"""Every built-in model with every built-in dataset, on phantoms: planned, trained two steps, predicting a case.

The fast suite has every model once, in slices or in volumes, and every dataset in both; the full product is slow.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from prepared_phantoms import open_phantom, prepare
from small_models import MODELS

from benchbench import Case, Dataset
from benchbench.contract import OWN_FILES
from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.export import region_labels
from benchbench.engine.inference.predict import Predictor, count_case
from benchbench.engine.network.network import geometry_for
from benchbench.engine.preparation.frame import whole_frame
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.training.train import Training
from benchbench.errors import SpecError
from benchbench.launch.preflight import check_models
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import Run
from benchbench.registry.registry import Registry, discover
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.protocol import Protocol

BENCHMARK = """
title = "One pairing"
datasets = [{{ name = "{dataset}" }}]

[[models]]
name = "{model}"
{params}

[protocol]
ndim = {ndim}
patch = {patch}
epochs = 1
batch = 2
patches_per_case = 4
oversample_foreground = 1.0
optimizer = {{ name = "sgd", lr = 1e-2 }}
loss = "bce+dice"
intensity = "zscore"

[protocol.inference]
overlap = 0.0
"""
REFUSED = {
    ("monai_vnet", "lgg"): "monai_vnet: found 3 channels, expected 1, 2, 4, 8 or 16, which it repeats to 16",
}
CPU = torch.device("cpu")


class Pairing(NamedTuple):
    """A model and a dataset, in slices or in volumes."""

    model: str
    dataset: str
    ndim: int

    @property
    def patch(self) -> tuple[int, ...]:
        small = MODELS[self.model]
        return small.slices if self.ndim == 2 else small.volumes

    def plan(self, folder: Path, registry: Registry) -> Run:
        """The first of its runs, once planning has nothing against it."""
        file = folder / "pairing.toml"
        params = "\n".join(f"{key} = {json.dumps(value)}" for key, value in MODELS[self.model].params.items())
        file.write_text(BENCHMARK.format(**self._asdict(), params=params, patch=list(self.patch)))
        benchmark = read_benchmark(file, check=registry.check)
        runs = plan_runs(benchmark, registry)
        check_models(benchmark, runs, registry)
        return runs[0]


class MiddleSlices:
    """A dataset whose cases have their middle axial slices only: a network in 2D would see 32 of them as alike."""

    def __init__(self, dataset: Dataset, *, slices: int = 8) -> None:
        self.task = dataset.task
        self.cases = dataset.cases
        self.files = dataset.files
        self._dataset = dataset
        self._slices = slices

    def load(self, case_id: str) -> Case:
        case = self._dataset.load(case_id)
        axis = whole_frame(case.label.shape, case.affine, slice_axis="axial").axes[0]
        size = case.label.shape[axis]
        first = max(0, (size - self._slices) // 2)
        numbers = range(first, min(size, first + self._slices))
        image = case.image.take(numbers, axis=1 + axis)
        return replace(case, image=image, label=case.label.take(numbers, axis=axis))


class Data(NamedTuple):
    """A dataset's phantom, opened, and its first two cases prepared."""

    dataset: Dataset
    train: PreparedCase
    test: PreparedCase


class Phantoms:
    """Phantoms of two patients, made at the first call for a dataset and prepared at the first for a patch."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder
        self._known: dict[tuple[str, tuple[int, ...]], Data] = {}

    def prepare(self, name: str, protocol: Protocol) -> Data:
        if (name, protocol.patch) not in self._known:
            dataset = open_phantom(self._registry, name, PhantomSize(patients=2, size=32), cache=self._folder)
            if protocol.ndim == 2:
                dataset = MiddleSlices(dataset)
            train, test, *_ = prepare(dataset, protocol, cache=self._folder)
            self._known[name, protocol.patch] = Data(dataset, train, test)
        return self._known[name, protocol.patch]


def built_in(kind: str) -> list[str]:
    installed = getattr(discover(), kind)
    return sorted(name for name, plugin in installed.items() if plugin.origin.distribution == "benchbench")


def pairings() -> list[Pairing]:
    installed = discover()
    models = installed.models
    # the images of a layout are those of its user: its phantoms have one size and tests of their own
    datasets = [name for name in built_in("datasets") if installed.dataset(name).download is not OWN_FILES]
    return [
        Pairing(model, dataset, ndim)
        for model in built_in("models")
        for ndim in sorted(models[model].plugin.ndims)
        for dataset in datasets
    ]


def is_possible(pairing: Pairing) -> bool:
    return (pairing.model, pairing.dataset) not in REFUSED


def one_of_each_model(pairings: Iterable[Pairing]) -> list[Pairing]:
    """Return every model once, on the dataset, in slices or volumes, that has been used least."""
    chosen = []
    uses: Counter[tuple[str, int]] = Counter()
    for _, group in groupby(pairings, key=lambda pairing: pairing.model):
        pairing = min(group, key=lambda pairing: uses[pairing.dataset, pairing.ndim])
        uses[pairing.dataset, pairing.ndim] += 1
        chosen.append(pairing)
    return chosen


POSSIBLE = [pairing for pairing in pairings() if is_possible(pairing)]
IMPOSSIBLE = [pairing for pairing in pairings() if not is_possible(pairing)]
FAST = one_of_each_model(POSSIBLE)


def name_of(pairing: Pairing) -> str:
    return f"{pairing.model}-{pairing.dataset}-{pairing.ndim}d"


def marks_of(pairing: Pairing) -> list[pytest.MarkDecorator]:
    return [] if pairing in FAST else [pytest.mark.slow]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover()


@pytest.fixture(scope="module")
def phantoms(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return Phantoms(registry, tmp_path_factory.mktemp("phantoms"))


def test_the_table_of_small_models_has_every_model() -> None:
    assert sorted(MODELS) == built_in("models")


def test_the_fast_pairings_have_every_model_once_and_every_dataset_in_slices_and_volumes() -> None:
    datasets = {(pairing.dataset, pairing.ndim) for pairing in POSSIBLE}
    assert [pairing.model for pairing in FAST] == built_in("models")
    assert {(pairing.dataset, pairing.ndim) for pairing in FAST} == datasets


@pytest.mark.parametrize(
    "pairing", [pytest.param(pairing, marks=marks_of(pairing), id=name_of(pairing)) for pairing in POSSIBLE]
)
def test_a_pairing_is_planned_trained_two_steps_and_predicts_a_case(
    tmp_path: Path, registry: Registry, phantoms: Phantoms, pairing: Pairing
) -> None:
    run = pairing.plan(tmp_path, registry)
    dataset, train, test = phantoms.prepare(pairing.dataset, run.protocol)
    regions = dataset.task.regions
    source = open_source([train], run.protocol, device=CPU)
    protocol = run.protocol.model_copy(update={"batch": math.ceil(len(source) / 2)})
    geometry = geometry_for(protocol, channels=len(dataset.task.channels), regions=len(regions))
    torch.manual_seed(0)
    model = registry.model(pairing.model).build(geometry, **run.model.params)
    before = [weights.detach().clone() for weights in model.parameters()]
    validation = open_source([test], protocol, device=CPU)
    training = Training(model, source, validation, protocol, regions=tuple(regions))
    steps: list[float] = []
    row = training.run_epoch(torch.Generator().manual_seed(0), progress=steps.append)
    assert steps == [0.5, 1.0]
    assert math.isfinite(row["train_loss"])
    assert math.isfinite(row["validation_loss"])
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    if getattr(model, "uses_all_parameters", False):
        assert [name for name, weights in model.named_parameters() if weights.grad is None] == []
    predictor = Predictor([model], protocol, CPU)
    masks = predictor.masks(test, predictor.probabilities(test), regions=tuple(regions), postprocess=None)
    label = test.frame.restore(region_labels(masks.swapaxes(0, 1), regions))
    assert label.shape == dataset.load(test.case.id).label.shape
    assert (count_case(test, masks).sum(axis=(0, 2)) == label.size).all()


@pytest.mark.parametrize("pairing", IMPOSSIBLE, ids=name_of)
def test_an_impossible_pairing_is_refused_at_planning_with_the_reason(
    tmp_path: Path, registry: Registry, pairing: Pairing
) -> None:
    with pytest.raises(SpecError) as caught:
        pairing.plan(tmp_path, registry)
    (problem,) = caught.value.problems
    assert f"dataset '{pairing.dataset}': {REFUSED[pairing.model, pairing.dataset]}" in problem
