"""`--launch`: launchers as plugins, their options, and what they are given."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Done, benchbench
from conftest import Install
from test_work import comparable
from toy_benchmark import Finished

from benchbench.errors import BenchbenchError, PluginError
from benchbench.launch.event_lines import event_line, parse_event
from benchbench.launch.launcher_options import choose_launcher
from benchbench.launch.machine import Machine, device_slots, threads_per_run
from benchbench.launch.work_order import MeasuredNeeds, measured_needs
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.registry.registry import discover, load
from benchbench.run.assignment import Assignment, Progress

pytestmark = pytest.mark.usefixtures("without_figures")
ROOT = Path(__file__).parents[1]

SITE = """
from __future__ import annotations

import contextlib, io, json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from benchbench import LauncherPlugin, hookimpl
from benchbench.cli import _run

Count = Annotated[int, Field(ge=1)]


def launch(order, *, workers: Count = 1, queue: Literal["short", "long"] = "short"):
    fields = {name: getattr(order, name) for name in ("runs", "processes", "device", "runs_per_device", "seconds")}
    text = json.dumps({"words": order.words, "workers": workers, "queue": queue, **fields})
    (Path(order.folder) / "order.json").write_text(text)
    if IS_DETACHED:
        order.print_line(f"submitted to {queue}")
        return
    for _ in range(workers):
        printed = io.StringIO()
        words = [*order.words[order.words.index("work"):], "--jobs", "0", "--most-runs", "4"]
        with contextlib.redirect_stdout(printed):
            _run(words)
        for line in printed.getvalue().splitlines():
            order.print_line(line)


@hookimpl
def benchbench_launchers():
    return [LauncherPlugin(name="NAME", launch=launch, source="the site", is_detached=IS_DETACHED)]
"""


def site(name: str, *, is_detached: bool = False) -> str:
    """The source of a launcher of a site."""
    return SITE.replace("NAME", name).replace("IS_DETACHED", str(is_detached))


def run_with(pair: Finished, folder: Path, launch: str, *words: object) -> Done:
    """Run the benchmark of `finished_pair` in a folder of the test, by a launcher."""
    options = ["--data-root", pair.data, "--results", folder / "results", "--device", "cpu"]
    options += ["--set", "protocol.epochs=1", "--set", "models.plain_too.width=3"]
    return benchbench("run", pair.file, *options, "--launch", launch, *words, cwd=folder)


def test_the_workers_of_a_site_give_the_bytes_of_a_run(
    finished_pair: Finished, tmp_path: Path, install: Install
) -> None:
    install("site", site("grid_engine"))
    (tmp_path / "options.toml").write_text('workers = 2\nqueue = "long"\n')
    done = run_with(finished_pair, tmp_path, "grid_engine:options.toml", "--per-device", 2)
    assert done.returncode == 0, done.stderr + done.stdout
    folder = tmp_path / "results" / "squares"
    order = json.loads((folder / "order.json").read_text())
    assert (order["workers"], order["queue"], order["runs"], order["processes"]) == (2, "long", 6, 1)
    assert (order["device"], order["runs_per_device"], order["seconds"]) == ("cpu", 2, None)
    assert order["words"][:7] == [sys.executable, "-P", "-m", "benchbench", "work", str(folder), "--until-empty"]
    assert "--json" in order["words"]
    assert "squares/plain/default/fold0/seed0: done after 1 epoch" in done.stdout
    assert "page: " in done.stdout
    assert comparable(folder) == comparable(finished_pair.folder.path)


def test_a_detached_launcher_returns_and_says_how_to_watch_and_collect(
    finished_pair: Finished, tmp_path: Path, install: Install
) -> None:
    install("site", site("batch", is_detached=True))
    done = run_with(finished_pair, tmp_path, "batch")
    folder = tmp_path / "results" / "squares"
    assert done.returncode == 0, done.stderr
    assert "note: submitted to short" in done.stdout
    assert f"to watch the runs: benchbench status {folder} --watch" in done.stdout
    assert f"when they have ended: benchbench report {folder}" in done.stdout
    assert "6 runs: 6 to do" in benchbench("status", folder, cwd=tmp_path).stdout
    words = json.loads((folder / "order.json").read_text())["words"]
    assert "--json" not in words
    work = benchbench(*words[words.index("work") :], "--jobs", 0, cwd=tmp_path)
    assert "6 of 6 runs are done" in work.stdout
    assert benchbench("report", folder, cwd=tmp_path).returncode == 0
    assert comparable(folder) == comparable(finished_pair.folder.path)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("griid", "", "error: no launcher plugin 'griid' is installed; did you mean 'grid'?"),
        ("process:o.toml", "", "error: --launch process:o.toml: 'process' has no options file; use --jobs,"),
        ("grid:o.toml", "worker = 2", "error: o.toml: worker: no such parameter; did you mean 'workers'?"),
        (
            "grid:o.toml",
            "workers = 0",
            "error: o.toml: workers: input should be greater than or equal to 1, found 0",
        ),
        ("grid:o.toml", 'workers = "2"', "error: o.toml: workers: input should be a valid integer, found '2'"),
        ("grid:o.toml", 'queue = "big"', "error: o.toml: queue: input should be 'short' or 'long', found 'big'"),
        ("grid:o.toml", "workers =", "error: o.toml: not a TOML file ("),
        (
            "grid:none.toml",
            "",
            "error: none.toml: No such file or directory; correct the path after --launch NAME:",
        ),
    ],
)
def test_a_launcher_or_option_that_does_not_exist_is_one_line_before_anything_runs(
    finished_pair: Finished, tmp_path: Path, install: Install, text: str, options: str, message: str
) -> None:
    install("site", site("grid"))
    (tmp_path / "o.toml").write_text(options)
    done = run_with(finished_pair, tmp_path, text)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--jobs", 2),
            "error: --jobs 2: belongs to --launch process; set the options of --launch grid:FILE instead",
        ),
        (("--device", "cuda:1"), "error: --device cuda:1: the launcher assigns GPUs to workers; give auto or cpu"),
    ],
)
def test_options_of_this_machine_are_refused_with_a_launcher(
    finished_pair: Finished, tmp_path: Path, install: Install, words: tuple[object, ...], message: str
) -> None:
    install("site", site("grid"))
    done = run_with(finished_pair, tmp_path, "grid", *words)
    assert (done.returncode, done.stderr.strip()) == (2, message)


@pytest.mark.parametrize(("name", "module"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_launcher_whose_package_is_not_installed_names_the_extra(
    install: Install, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    source = f"from benchbench_launchers.{name}_launcher import benchbench_launchers"
    monkeypatch.setattr("benchbench.extras.find_spec", lambda need: None if need == module else need)
    registry = load(list(install("benchbench", source).entry_points))
    with pytest.raises(PluginError) as caught:
        choose_launcher(name, registry)
    needs = f"needs {module}, which is not installed; pip install 'benchbench[{name}]'"
    assert str(caught.value).startswith(f"launcher '{name}' cannot be used: {needs}")
    assert registry.broken[0].is_optional


def test_a_plugin_cannot_take_the_name_of_the_default(install: Install) -> None:
    (broken,) = load(list(install("site", site("process")).entry_points)).broken
    assert broken.reason == "'process' is the name of the launcher for this machine"
    assert choose_launcher("process", discover([])) is None


def test_launchers_are_listed_with_their_options(install: Install, tmp_path: Path) -> None:
    install("site", site("grid"))
    listed = json.loads(benchbench("list", "launchers", "--format", "json", cwd=tmp_path).stdout)
    (entry,) = [entry for entry in listed["launchers"] if entry["name"] == "grid"]
    assert entry["parameters"]["workers"] == "Count = 1"
    assert entry["from"] == "site 1.0, entry point 'site'"


def test_every_launcher_of_the_distribution_has_an_entry_point() -> None:
    modules = {path.stem for path in (ROOT / "plugins/benchbench_launchers").glob("*_launcher.py")}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert modules == {"ray_launcher", "slurm_launcher"}
    for module in modules:
        assert f'"benchbench_launchers.{module}"' in text


def test_events_survive_their_line(finished_pair: Finished) -> None:
    key = RunKey("squares", "plain", "default", 0, 0)
    record = finished_pair.folder.run(key).read_record()
    assert record is not None
    parsed = parse_event(event_line(key, record))
    assert parsed is not None
    assert (parsed[0], parsed[1].files, parsed[1].status) == (key, record.files, "done")  # type: ignore[union-attr]
    progress = Progress(1.5, 3, "loss 0.1", "a remark")
    assert parse_event(event_line(key, progress)) == (key, progress)
    error = parse_event(event_line(key, BenchbenchError("a", "b")))
    assert error is not None
    assert (error[0], str(error[1])) == (key, "a\nb")


@pytest.mark.parametrize(
    "line", ["", "6 of 6 runs are done", "[1]", '{"run": 3}', '{"run": ["a"], "progress": {}}']
)
def test_a_line_that_is_no_event_is_none(line: str) -> None:
    assert parse_event(line) is None


def machine(**options: object) -> Machine:
    fields = {"results": Path(), "cache": Path(), "data_root": None, "devices": ("cuda:0", "cuda:1"), "jobs": None}
    return Machine(**{**fields, **options})  # type: ignore[arg-type]


def test_runs_share_each_device_and_the_cores() -> None:
    shared = machine(per_device=2, cores=8)
    assert device_slots(shared, 1) == (("cuda:0",), ("cuda:1",), ("cuda:0",), ("cuda:1",))
    assert threads_per_run(shared) == 2
    assert threads_per_run(machine(per_device=4, jobs=1, cores=3)) == 3


def test_a_run_that_shares_its_device_with_other_workers_measures_no_energy(
    finished_pair: Finished, tmp_path: Path, install: Install
) -> None:
    install("site", site("grid"))
    done = run_with(finished_pair, tmp_path, "grid", "--per-device", 3, "--only", "model=plain,fold=0")
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "results/squares/runs/squares/plain/default/fold0_seed0").glob("run.json")
    cost = json.loads(record.read_text())["cost"]
    assert (cost["runs_per_device"], cost["energy_wh"]) == (3, None)


def test_measured_needs_are_those_of_the_same_models(finished_pair: Finished) -> None:
    from benchbench.launch.job_assignments import Shard, open_jobs
    from benchbench.launch.job_data import Roots

    roots = Roots(cache=finished_pair.cache, data_root=finished_pair.data)
    assignments = open_jobs(finished_pair.folder, roots, shard=Shard(), device="cpu")
    plain = [assignment for assignment in assignments if assignment.key.model == "plain"]
    records = [assignment.folder.read_record() for assignment in plain]
    expected = MeasuredNeeds(
        max(record.seconds for record in records if record),
        max(record.provenance["peak_memory_bytes"] for record in records if record),
    )
    assert measured_needs(plain[:1], assignments) == expected
    other = replace(plain[0], key=plain[0].key._replace(model="other"))
    assert measured_needs([other], assignments) == MeasuredNeeds(None, None)


def test_a_run_that_ran_out_of_memory_next_to_others_is_repeated_alone(
    finished_pair: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbench.launch.job_assignments import Shard, open_jobs
    from benchbench.launch.job_data import Roots
    from benchbench.launch.process import ProcessLauncher, _Exit

    roots = Roots(cache=finished_pair.cache, data_root=finished_pair.data)
    assignments = open_jobs(finished_pair.folder, roots, shard=Shard(), device="cpu")[:3]
    both_started = threading.Barrier(2)
    active: list[RunKey] = []
    log: list[tuple[RunKey, int]] = []

    def carry_out(_launcher: object, assignment: Assignment, *_: object) -> _Exit:
        active.append(assignment.key)
        log.append((assignment.key, len(active)))
        if len(log) <= 2:
            both_started.wait(5)
        is_short = assignment.key == assignments[0].key and not assignment.retries
        active.remove(assignment.key)
        return _Exit(1, "CUDA out of memory") if is_short else _Exit(0, "")

    def read_end(assignment: Assignment, exited: _Exit) -> Record:
        status = "failed" if exited.code else "done"
        return assignment.record(status=status, reason=exited.reason, provenance={}, seconds=0.0)  # type: ignore[arg-type]

    monkeypatch.setattr(ProcessLauncher, "_carry_out", carry_out)
    monkeypatch.setattr("benchbench.launch.process._read_end", read_end)
    ends: dict[RunKey, Record] = {}
    ProcessLauncher(slots=(("cpu",), ("cpu",)), threads=1)(assignments, lambda key, end: ends.update({key: end}))  # type: ignore[dict-item]
    assert {key: record.status for key, record in ends.items()} == {
        assignment.key: "done" for assignment in assignments
    }
    assert ends[assignments[0].key].retries == ("out of memory; the run was repeated alone",)
    assert log[-1] in {(assignments[0].key, 1), (assignments[2].key, 1)}
    assert (assignments[0].key, 1) in log[2:]
    assert len(log) == 4
