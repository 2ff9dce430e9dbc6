from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from carry import Recorder, carry
from safetensors.torch import load_file
from test_plan import FILE, make_registry, names, plan
from test_spec_errors import VALID, problems
from toy_benchmark import SHORT, Finished

from benchbench.errors import SpecError
from benchbench.launch import RunEvent
from benchbench.plan.run import RunKey
from benchbench.plan.select import select_runs
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.spec.benchmark import read_benchmark

pytestmark = pytest.mark.usefixtures("without_figures")

BOTH = '[[ensembles]]\nname = "both"\n'
TWO = VALID.replace("[protocol]", '[[models]]\nname = "grand"\n[protocol]')
records_only = pytest.mark.usefixtures("without_report")


def key(model: str, *, fold: int = 0, seed: int = 0) -> RunKey:
    return RunKey("squares", model, "default", fold, seed)


def record_of(folder: ResultsFolder, model: str, **place: int) -> Record:
    record = folder.run(key(model, **place)).read_record()
    assert record
    return record


# the file


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            'name = "both"\nmodels = ["plain", "grant"]',
            "b.toml:15: ensembles.both.models: no such model 'grant'; did you mean 'grand'?",
        ),
        (
            'name = "both"\nmodels = ["plain", "plain"]',
            "b.toml:15: ensembles.both.models: 'plain' is listed twice; name each member once",
        ),
        (
            'name = "both"\nmodels = ["plain"]',
            "b.toml:15: ensembles.both.models: found one member, 'plain'; name another or set seeds = true",
        ),
        (
            'name = "grand"',
            "b.toml:14: ensembles.grand: a model or another ensemble has this name; choose another",
        ),
        (
            'name = "both"\nfolds = true',
            (
                "b.toml:15: ensembles.both.folds: found true, but members of other folds were trained on the cases that a"
                " fold tests; leave it out and name models, or set seeds = true"
            ),
        ),
        (
            'name = "plain, grand"',
            (
                "b.toml:14: ensembles.plain, grand.name: found 'plain, grand', expected a name without comma and =, so"
                " that --only can select it"
            ),
        ),
        (
            'name = "both"\nmodel = ["plain"]',
            "b.toml:15: ensembles.both.model: no such key; did you mean 'models'?",
        ),
    ],
)
def test_a_fault_of_an_ensemble_is_reported_with_file_line_and_key(
    tmp_path: Path, entry: str, expected: str
) -> None:
    assert problems(tmp_path, f"{TWO}[[ensembles]]\n{entry}\n") == [expected]


def test_two_ensembles_of_one_name_are_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, TWO + BOTH + BOTH)
    assert "a model or another ensemble has this name" in problem


def test_without_names_every_model_is_a_member(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(TWO + BOTH)
    (ensemble,) = read_benchmark(path, check=lambda *_: ()).ensembles
    assert ensemble.models == ("plain", "grand")
    assert ensemble.described == "plain, grand"


# the plan


def test_an_ensemble_has_the_dataset_fold_and_seed_of_its_members_and_follows_them(tmp_path: Path) -> None:
    runs = plan(tmp_path, text=FILE + BOTH)
    ensembles = [run for run in runs if run.members]
    assert len(ensembles) == 2 * 2 * 2
    for run in ensembles:
        assert [(member.dataset, member.fold, member.seed) for member in run.members] == [
            (run.dataset, run.fold, run.seed)
        ] * 2
        assert [member.model.name for member in run.members] == ["plain", "grand"]
        assert all(runs.index(member) < runs.index(run) for member in run.members)


def test_an_ensemble_of_all_seeds_has_the_lowest_seed_and_follows_the_last(tmp_path: Path) -> None:
    entry = '[[ensembles]]\nname = "plain x 2"\nmodels = ["plain"]\nseeds = true\n'
    runs = plan(tmp_path, text=FILE + entry)
    ensembles = [run for run in runs if run.members]
    assert names(ensembles) == [
        f"{dataset}/plain x 2/default/fold{fold}/seed3" for fold in (0, 1) for dataset in ("discs", "rings")
    ]
    for run in ensembles:
        assert [member.seed for member in run.members] == [7, 3]
        assert all(runs.index(member) < runs.index(run) for member in run.members)


def test_one_model_of_one_seed_is_refused_as_an_ensemble(tmp_path: Path) -> None:
    entry = '[[ensembles]]\nname = "alone"\nmodels = ["plain"]\nseeds = true\n'
    with pytest.raises(SpecError, match=r"b\.toml:18: ensembles\.alone\.seeds: found one model and one seed"):
        plan(tmp_path, "protocol.seeds=[3]", text=FILE + entry)


def test_the_digest_of_an_ensemble_depends_on_its_members_only(tmp_path: Path) -> None:
    text = FILE + '[[models]]\nname = "grand_too"\n' + BOTH + 'models = ["plain", "grand"]\n'
    registry = make_registry()
    models = {**registry.models, "grand_too": registry.models["grand"]}
    registry = type(registry)(datasets=registry.datasets, models=models, broken=())
    first, changed, other = (
        next(run for run in plan(tmp_path, *sets, text=text, registry=registry) if run.members).digest
        for sets in ([], ["models.grand.width=9"], ["models.grand_too.width=9"])
    )
    assert first == other != changed


def test_selecting_an_ensemble_selects_its_members(tmp_path: Path) -> None:
    runs = plan(tmp_path, text=FILE + BOTH)
    selected = select_runs(runs, ["model=both,fold=1,seed=3,dataset=rings"])
    assert names(selected) == [f"rings/{model}/default/fold1/seed3" for model in ("plain", "grand", "both")]
    assert not [run for run in select_runs(runs, ["model=plain"]) if run.members]


# the runs


def test_an_ensemble_predicts_the_mean_of_its_members(finished_pair: Finished) -> None:
    folder = finished_pair.folder
    members = [record_of(folder, name) for name in ("plain", "plain_too")]
    both = record_of(folder, "both")
    assert [record.status for record in (*members, both)] == ["done"] * 3
    assert both.parameters == sum(member.parameters or 0 for member in members)
    assert (both.epochs, both.best_epoch) == (0, None)
    assert both.split_digest == members[0].split_digest
    assert not (folder.run(both.key).path / "best.safetensors").exists()

    from toy_plugin import build_plain

    from benchbench import Geometry

    models = []
    for record, width in zip(members, (4, 3), strict=True):
        model = build_plain(Geometry(1, 1, (32, 32)), width=width).eval()
        model.load_state_dict(load_file(folder.run(record.key).path / "best.safetensors"))
        models.append(model)
    cases = pd.read_parquet(folder.run(both.key).path / "cases.parquet").set_index("case")
    assert len(cases) == 2
    for case in cases.index:
        with np.load(finished_pair.data / "squares" / f"{case}.npz") as stored:
            images = torch.from_numpy(stored["image"].astype(np.float32) / 255).transpose(0, 1)
            reference = stored["label"] > 0
        with torch.no_grad():
            mean = (models[0](images).sigmoid() + models[1](images).sigmoid()) / 2
        prediction = (mean[:, 0] > 0.5).numpy()
        assert cases.loc[case, "tp"] == (prediction & reference).sum()
        assert cases.loc[case, "fp"] == (prediction & ~reference).sum()


def test_tables_rank_an_ensemble_and_name_its_members(finished_pair: Finished) -> None:
    folder = finished_pair.folder
    for name in ("folds.csv", "summary.csv", "cost.csv"):
        table = pd.read_csv(folder.path / name, keep_default_na=False)
        marks = table.set_index("model")["ensemble_of"]
        assert set(marks["both"]) == {"plain, plain_too"}
        assert set(marks[["plain", "plain_too"]]) == {""}
    board = (folder.path / "leaderboard.md").read_text()
    assert "| ensemble_of |" in board
    assert len([line for line in board.splitlines() if line.startswith(("| 1", "| 2", "| 3"))]) == 3
    pivot = pd.read_csv(folder.path / "tables" / "1-dice-fold-by-model.csv")
    assert pivot.columns.tolist() == ["fold", "plain", "plain_too", "both (ensemble)", "data"]


@records_only
def test_an_ensemble_is_repeated_when_a_member_changes(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path)
    folder = copy.folder
    assert carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])[2].todo == 0
    # a member has other settings
    assert carry(copy.file, copy.data, tmp_path, "protocol.epochs=1", only=["fold=0"])[2].todo == 2
    carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])
    # a member has other weights, as if trained on another machine
    before = record_of(folder, "both").members
    member = folder.run(key("plain"))
    path = member.path / "best.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    record = record_of(folder, "plain")
    files = {**record.files, path.name: member.digest_of(path.name)}
    member.write_record(replace(record, files=files))
    assert carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])[2].todo == 1
    after = record_of(folder, "both").members
    assert [name for name in before if after[name] != before[name]] == [str(key("plain"))]


@records_only
def test_retraining_a_member_deletes_the_records_of_its_ensembles(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path)
    folder = copy.folder
    shutil.rmtree(folder.run(key("plain")).path)
    carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0,model=plain"])
    assert folder.run(key("both")).read_record() is None
    assert carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])[2].todo == 1
    assert record_of(folder, "both").status == "done"


@records_only
def test_an_ensemble_stays_done_when_weights_of_a_member_are_deleted(
    finished_pair: Finished, tmp_path: Path
) -> None:
    copy = finished_pair.copy(tmp_path)
    folder = copy.folder
    (folder.run(key("plain")).path / "best.safetensors").unlink()
    assert carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])[2].todo == 0
    folder.run(key("both")).discard("run.json")
    carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"])
    reason = record_of(folder, "both").reason
    assert reason == f"member {key('plain')}: no best.safetensors in its folder; delete it to run it again"


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize(
    ("explode", "status", "reason"),
    [
        ("raise", "failed", "failed: RuntimeError: the model fell over"),
        pytest.param("nan", "diverged", "training loss became nan in epoch 0", marks=pytest.mark.slow),
    ],
)
def test_an_ensemble_with_a_failed_member_is_a_row_with_the_reason(
    pair_file: Path, squares: Path, tmp_path: Path, explode: str, status: str, reason: str
) -> None:
    sets = ("protocol.epochs=1", f'models.plain_too.explode="{explode}"')
    folder, _, _ = carry(pair_file, squares, tmp_path, *sets, only=["fold=0"])
    both = record_of(folder, "both")
    assert both.status == status
    assert str(key("plain_too")) in both.reason
    assert reason in both.reason
    folds = pd.read_csv(folder.path / "folds.csv", keep_default_na=False)
    row = folds[(folds["model"] == "both") & (folds["fold"] == 0)].iloc[0]
    assert (row["status"], row["dice"], row["ensemble_of"]) == (status, "", "plain, plain_too")
    again = carry(pair_file, squares, tmp_path, *sets, only=["fold=0"])[2].todo
    assert again == (2 if status == "failed" else 0)


@records_only
def test_workers_start_an_ensemble_when_its_members_have_ended(finished_pair: Finished, tmp_path: Path) -> None:
    copy = finished_pair.copy(tmp_path)
    table = copy.folder.run(key("both")).path / "cases.parquet"
    in_one_process = pd.read_parquet(table)
    for name in ("plain", "both"):
        shutil.rmtree(copy.folder.run(key(name)).path)
    _, records, recorder = carry(copy.file, copy.data, tmp_path, *SHORT, only=["fold=0"], jobs=2)
    assert [record.status for record in records if record] == ["done"] * 3
    ended = [run.model for run, event in recorder.events if isinstance(event, Record)]
    assert ended == ["plain", "both"]
    assert pd.read_parquet(table).equals(in_one_process)


@records_only
def test_an_interrupted_ensemble_is_finished_by_the_same_command(
    pair_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_second_end(self: Recorder, run: RunKey, event: RunEvent) -> None:
        if isinstance(event, Record) and run.model == "plain_too":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_run_event", stop_at_the_second_end)
        with pytest.raises(KeyboardInterrupt):
            carry(pair_file, squares, tmp_path, *SHORT, only=["fold=0"])
    _, _, recorder = carry(pair_file, squares, tmp_path, *SHORT, only=["fold=0"])
    assert [run.model for run, _ in recorder.events] == ["both"]


@records_only
def test_an_ensemble_of_seeds_searches_thresholds_and_exports_predictions(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    entry = '[[ensembles]]\nname = "plain x 2"\nmodels = ["plain"]\nseeds = true\n'
    benchmark_file.write_text(benchmark_file.read_text() + entry)
    sets = ("protocol.epochs=1", "protocol.seeds=[0, 1]", "protocol.postprocess={ search = true }")
    folder, _, _ = carry(benchmark_file, squares, tmp_path, *sets, only=["model=plain x 2,fold=0"])
    record = record_of(folder, "plain x 2")
    assert set(record.members) == {str(key("plain", seed=seed)) for seed in (0, 1)}
    assert record.postprocess
    assert 0.3 <= record.postprocess["thresholds"]["square_0"] <= 0.7
    manifest = json.loads((folder.path / "benchmark.json").read_text())
    assert manifest["ensembles"] == {"plain x 2": "plain (all seeds)"}
    ask = 'protocol.metrics=["dice", "hd95"]'
    carry(benchmark_file, squares, tmp_path, *sets, ask, only=["model=plain x 2,fold=0"])
    assert "hd95_px" in pd.read_parquet(folder.run(record.key).path / "cases.parquet")
