from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from benchbench import DatasetPlugin, Download, ModelPlugin, Task
from benchbench.cli.plan import plan_command
from benchbench.cli.run import run_command
from benchbench.errors import SpecError, UsageError
from benchbench.plan.expand import plan_runs
from benchbench.plan.run import Run
from benchbench.plan.select import select_runs
from benchbench.registry.registry import Installed, Origin, Registry
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.protocol import _LATER, Protocol

FILE = """title = "T"
datasets = [{ name = "discs" }, { name = "rings" }]
[[models]]
name = "plain"
[[models]]
name = "grand"
[protocol]
patch = [32, 64]
epochs = 2
batch = 4
folds = 2
seeds = [7, 3]
loss = "dice"
optimizer = { name = "adam", lr = 1e-3 }
"""
ORIGIN = Origin(entry_point="made_up", module="made_up", distribution="made-up", version="1.0")


class Dataset:
    """A dataset of which only the task is known."""

    def __init__(self, **regions: tuple[int, ...]) -> None:
        self.task = Task(channels=("grey",), regions=regions)


def open_(root: Path, *, channel: str = "grey") -> Dataset:
    return Dataset(disc=(1,))


def build(geometry: object, *, width: int = 8, depths: tuple[int, ...] = (1, 2)) -> None: ...


def make_registry(
    *, factory: Any = build, ndims: frozenset[int] = frozenset({2}), opener: Any = open_
) -> Registry:
    download = Download(licence="CC0", page="https://example.org")
    datasets = [
        DatasetPlugin(name=name, open=opener, source="none", download=download, phantom=open_)
        for name in ("discs", "rings")
    ]
    models = [
        ModelPlugin(name="plain", build=factory, source="none", ndims=ndims),
        ModelPlugin(name="grand", build=build, source="none", ndims=frozenset({2, 3})),
    ]
    return Registry(
        datasets={plugin.name: Installed(plugin, ORIGIN) for plugin in datasets},
        models={plugin.name: Installed(plugin, ORIGIN) for plugin in models},
        broken=(),
    )


def plan(
    tmp_path: Path, *overrides: str, text: str = FILE, registry: Registry | None = None, rehearse: bool = False
) -> list[Run]:
    path = tmp_path / "b.toml"
    path.write_text(text)
    registry = registry or make_registry()
    benchmark = read_benchmark(path, check=registry.check, overrides=overrides, rehearse=rehearse)
    return plan_runs(benchmark, registry)


def names(runs: Sequence[Run]) -> list[str]:
    return [str(run.key) for run in runs]


def test_runs_are_ordered_by_seed_and_fold_before_models(tmp_path: Path) -> None:
    runs = plan(tmp_path, text=FILE + '[[variants]]\nlabel = "a"\nset = {}\n[[variants]]\nlabel = "b"\nset = {}\n')
    groups = [
        f"{dataset}/{model}/{variant}"
        for variant in ("a", "b")
        for dataset in ("discs", "rings")
        for model in ("plain", "grand")
    ]
    assert names(runs) == [
        f"{group}/fold{fold}/seed{seed}" for seed in (3, 7) for fold in (0, 1) for group in groups
    ]


def test_a_variant_can_change_folds_and_seeds(tmp_path: Path) -> None:
    sweep = '[[variants]]\nlabel = "a"\nset = { "protocol.folds" = 3, "protocol.seeds" = [1] }\n'
    runs = select_runs(plan(tmp_path, text=FILE + sweep), ["model=plain,dataset=discs"])
    assert names(runs) == [f"discs/plain/a/fold{fold}/seed1" for fold in (0, 1, 2)]


def test_a_resolved_run_has_every_parameter(tmp_path: Path) -> None:
    run = plan(tmp_path, "models.plain.depths=[3]")[0]
    resolved = run.resolved()
    assert resolved["model"]["params"] == {"width": 8, "depths": (3,)}
    assert resolved["dataset"]["params"] == {"channel": "grey"}
    assert resolved["protocol"]["validation"] == 0.2
    assert (resolved["fold"], resolved["seed"], resolved["phantom"]) == (0, 3, None)


@pytest.mark.parametrize(
    "override",
    [
        "models.plain.width=9",
        "models.plain.depths=[2, 1]",
        "datasets.discs.channel=red",
        "protocol.epochs=3",
        "protocol.patch=[64, 32]",
        "protocol.folds=3",
        "protocol.optimizer.weight_decay=0.1",
        "protocol.denoise=tv",
        'protocol.augment=[{ albumentations = "Blurry", limit = 3 }]',
    ],
)
def test_a_setting_that_can_change_a_number_changes_the_digest(tmp_path: Path, override: str) -> None:
    assert plan(tmp_path, override)[0].digest != plan(tmp_path)[0].digest


@pytest.mark.parametrize(
    "override",
    [
        "title=Another",
        "protocol.metrics=['iou']",
        "protocol.empty=monai",
        "protocol.seeds=[3]",
        "models.plain.width=8",
        "protocol.validation=0.2",
        "models.grand.width=9",
        'tables=[{ rows = "fold", columns = "model", value = "dice" }]',
    ],
)
def test_a_setting_of_tables_or_a_written_default_keeps_the_digest(tmp_path: Path, override: str) -> None:
    assert plan(tmp_path, override)[0].digest == plan(tmp_path)[0].digest


def test_every_field_of_the_protocol_but_those_of_tables_is_in_the_digest(tmp_path: Path) -> None:
    resolved = plan(tmp_path)[0].resolved()
    later = set(_LATER)  # in the digest where they are set: test_spacing.py
    assert set(Protocol.model_fields) - set(resolved["protocol"]) - later == {"metrics", "empty", "seeds"}


def test_a_new_version_of_the_record_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run, *_) = plan(tmp_path)
    before = run.digest
    monkeypatch.setattr("benchbench.plan.run.RECORD_SCHEMA", 99)
    assert run.digest != before


def test_all_runs_of_a_plan_have_different_digests(tmp_path: Path) -> None:
    runs = plan(tmp_path)
    assert len({run.digest for run in runs}) == len(runs) == 16


def test_the_label_of_a_variant_does_not_change_the_digest(tmp_path: Path) -> None:
    (run, *_) = plan(tmp_path)
    assert replace(run, variant="other").digest == run.digest


def test_a_rehearsal_has_another_digest_than_the_real_run(tmp_path: Path) -> None:
    assert plan(tmp_path, rehearse=True)[0].digest != plan(tmp_path)[0].digest


def test_a_changed_plugin_source_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "made_up_builder.py"
    source.write_text("def build(geometry, *, width: int = 8): ...\n")
    module = ModuleType("made_up_builder")
    module.__file__ = str(source)
    exec(source.read_text(), vars(module))  # noqa: S102 a module written two lines above
    monkeypatch.setitem(sys.modules, "made_up_builder", module)
    registry = make_registry(factory=module.build)
    before = plan(tmp_path, registry=registry)
    source.write_text("def build(geometry, *, width: int = 8): return 1\n")
    after = plan(tmp_path, registry=registry)
    changed = [run.key.model for run, old in zip(after, before, strict=True) if run.digest != old.digest]
    assert set(changed) == {"plain"}
    assert len(changed) == 8


def test_a_model_of_another_dimension_is_refused_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        plan(
            tmp_path,
            text=FILE + '[grid]\n"protocol.epochs" = [1, 2]\n',
            registry=make_registry(ndims=frozenset({3})),
        )
    (problem,) = caught.value.problems
    expected = "b.toml:7: protocol.ndim: found 2, but model 'plain' is 3D; change one of them"
    assert problem == f"{tmp_path}/{expected}"


def open_nested(root: Path) -> Dataset:
    return Dataset(whole=(1, 2), core=(2,))


def open_disjoint(root: Path) -> Dataset:
    return Dataset(edge=(1, 3), core=(2,))


def test_a_softmax_is_refused_where_a_region_is_inside_another(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"regions of 'discs' overlap \(whole, core\)"):
        plan(tmp_path, "protocol.loss=ce", registry=make_registry(opener=open_nested))
    assert len(plan(tmp_path, "protocol.loss=ce", registry=make_registry(opener=open_disjoint))) == 16


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ([], 16),
        (["model=plain"], 8),
        (["model=plain", "model=grand"], 16),
        (["model=plain,fold=0"], 4),
        (["model=plain", " fold = 1 ", "seed=7", "dataset=rings"], 1),
    ],
)
def test_a_selection_matches_any_value_of_a_key_and_all_keys(tmp_path: Path, only: list[str], count: int) -> None:
    assert len(select_runs(plan(tmp_path), only)) == count


def test_a_variant_with_commas_in_its_label_can_be_selected(tmp_path: Path) -> None:
    runs = plan(tmp_path, text=FILE + '[grid]\n"protocol.epochs" = [1, 2]\n"protocol.batch" = [3, 4]\n')
    chosen = select_runs(runs, ["fold=0,variant=epochs=2, batch=3,model=plain,seed=3,dataset=discs"])
    assert names(chosen) == ["discs/plain/epochs=2, batch=3/fold0/seed3"]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("plain", "--only plain: write key=value; known: dataset, model, variant, fold, seed"),
        ("modle=plain", "--only modle=plain: write key=value; did you mean 'model'?"),
        ("model=plane", "--only model=plane: no run has model 'plane'; did you mean 'plain'?"),
        ("fold=9", "--only fold=9: no run has fold '9'; known: 0, 1"),
    ],
)
def test_a_selection_that_matches_no_run_is_refused(tmp_path: Path, only: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        select_runs(plan(tmp_path), [only])
    assert str(caught.value) == message


def test_a_listing_of_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    listing = '[[listings]]\ntitle = "L"\nwhere = { variant = ["defalt"] }\ncolumns = { dice = "dice" }\n'
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=FILE + listing)
    (problem,) = caught.value.problems
    expected = "b.toml:17: listings.0.where.variant: no variant 'defalt'; did you mean 'default'?"
    assert problem == f"{tmp_path}/{expected}"


def test_variants_that_differ_in_the_case_of_letters_only_are_refused(tmp_path: Path) -> None:
    variants = ""
    for label, epochs in (("Wide", 2), ("wide", 3)):
        variants += f'[[variants]]\nlabel = "{label}"\nset = {{ "protocol.epochs" = {epochs} }}\n'
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=FILE + variants)
    assert str(caught.value) == (
        f"{tmp_path}/b.toml: variants 'Wide' and 'wide' have the same folder on systems that ignore the case of"
        " letters; rename one"
    )


def test_a_benchmark_of_more_runs_than_anybody_can_carry_out_is_refused(tmp_path: Path) -> None:
    seeds = str(list(range(2000))).replace("[", "").replace("]", "")
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, text=FILE.replace("seeds = [7, 3]", f"seeds = [{seeds}]"))
    assert str(caught.value) == (
        f"{tmp_path}/b.toml: found 16,000 runs, expected at most 10,000; split the file, or lower folds, seeds,"
        " models or variants"
    )


@pytest.mark.parametrize(
    ("curves", "problem"),
    [
        (
            'rows = "protocol.batch"\ncolumns = "protocol.epochs"',
            "curves: variants 'a' and 'b' both have protocol.batch 4, protocol.epochs 2, expected a panel for each",
        ),
        ('rows = "protocol.bach"\ncolumns = "protocol.optimizer.lr"', "'protocol.bach': run "),
        ('rows = "protocol.batch"\ncolumns = "protocol.batch"', "rows and columns are both 'protocol.batch'"),
        ('rows = "batch"\ncolumns = "protocol.batch"', "found 'batch', expected a setting such as"),
    ],
)
def test_learning_curves_need_two_settings_that_separate_all_variants(
    tmp_path: Path, curves: str, problem: str
) -> None:
    variants = "".join(
        f'[[variants]]\nlabel = "{label}"\nset = {{ "protocol.optimizer.lr" = {lr} }}\n'
        for label, lr in (("a", 0.1), ("b", 0.01))
    )
    with pytest.raises(SpecError) as error:
        plan(tmp_path, text=f"{FILE}{variants}[curves]\n{curves}\n")
    assert problem in str(error.value)


def test_every_option_of_run_is_one_of_plan() -> None:
    """A command line of `run` shows its plan by a change of one word."""

    def options(command: click.Command) -> set[str]:
        return {name for param in command.params for name in param.opts if name.startswith("-")}

    assert options(run_command) <= options(plan_command)
    context = plan_command.make_context(
        "plan", ["benchmark.toml", "--compile", "on", "--report", "mlflow", "--report", "wandb", "--deterministic"]
    )
    assert "compile_steps" not in context.params
