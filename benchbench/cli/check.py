"""`benchbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.completion import complete_plugins
from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import data_root_option, echo_to_stderr, params_option, read_params
from benchbench.words import count

if TYPE_CHECKING:
    from benchbench.testing import Report
    from benchbench.testing.report import State

_INDENT = 15
_MARKS: dict[State, str] = {"passed": "ok", "failed": "FAIL", "skipped": "-"}


@click.command("check")
@click.argument("name", shell_complete=complete_plugins)
@params_option
@click.option("--compile", "compiled", is_flag=True, help="Models: also check torch.compile (takes a minute).")
@data_root_option
@format_option
def check_command(
    name: str, *, overrides: tuple[str, ...], compiled: bool, data_root: Path | None, output_format: str
) -> int:
    """Check the plugin NAME against the rules of its kind, and print how to fix what fails.

    A model is built with its default parameters; a smaller one, with --set width=8, is quicker. A dataset is
    checked on a phantom, or on the real files if --data-root has them. NAME may be a benchmark file: its settings
    are checked, and each of its models is built.
    """
    with document_of("check", output_format) as document:
        if name.endswith(".toml"):
            document.content = _check_file(Path(name), overrides=overrides, data_root=data_root)
            return 1 if document.content["exits"] else 0
        report = _examine(name, overrides, compiled=compiled, data_root=data_root)
        if not document.is_json:
            _print(report)
        document.content = {"name": name, "rules": report.outcomes, "refused": report.refused, **_counts(report)}
        return 1 if report.failed else 0


def _examine(name: str, overrides: tuple[str, ...], *, compiled: bool, data_root: Path | None) -> Report:
    """Apply the rules of its kind to an installed plugin."""
    from benchbench.cli.model_details import usual_geometries  # noqa: PLC0415 after --help has answered
    from benchbench.contract import DatasetPlugin, ModelPlugin  # noqa: PLC0415
    from benchbench.launch.preflight import find_refusals  # noqa: PLC0415
    from benchbench.registry.kinds import factory_of  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.testing import examine_dataset, examine_extension, examine_model  # noqa: PLC0415

    plugin = discover().find(name).plugin
    if isinstance(plugin, DatasetPlugin):
        params = read_params(plugin.open, overrides)
        return examine_dataset(plugin, _existing_folder(data_root, name), params)
    if not isinstance(plugin, ModelPlugin):
        return examine_extension(plugin, read_params(factory_of(plugin), overrides))
    params = read_params(plugin.build, overrides)
    for geometry in usual_geometries(plugin, regions=1):
        find_refusals(plugin, geometry, params)  # in a child process: a model that exits must not end this one
    return examine_model(plugin, params, compiled=compiled)


def _check_file(file: Path, *, overrides: tuple[str, ...], data_root: Path | None) -> dict[str, Any]:
    """Read a benchmark file, build its models, print the number of its runs, and return it with failures."""
    from benchbench.launch.benchmark_files import read_plans  # noqa: PLC0415 as above
    from benchbench.registry.registry import discover  # noqa: PLC0415

    (plan,) = read_plans(
        [file],
        discover(),
        overrides=overrides,
        only=(),
        rehearse=False,
        data_root=data_root,
        echo=echo_to_stderr,
    )
    click.echo(f"{file}: ok, {count(len(plan.runs), 'run')}")
    exits = {str(key): reason for key, reason in plan.exits.items()}
    return {"name": str(file), "runs": len(plan.runs), "exits": exits}


def _existing_folder(data_root: Path | None, name: str) -> Path | None:
    if data_root is None:
        return None
    folder = data_root / name
    return folder if folder.is_dir() else None


def _print(report: Report) -> None:
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    for outcome in report.outcomes:
        line = f"{_MARKS[outcome.state]:<5} {outcome.where:<8} {outcome.rule}: {outcome.requirement}"
        if outcome.state == "skipped":
            line += f" ({outcome.lines[0]})"
        print_text(line, indent=_INDENT)
        if outcome.state == "failed":
            for fault in outcome.lines:
                print_text(f"{'':<{_INDENT}}{fault}", indent=_INDENT)
    for refusal in report.refused:
        print_text(f"refused, which is allowed: {refusal}")
    counts = _counts(report)
    passed = count(counts["passed"], "rule")
    print_text(f"{report.plugin}: {passed} passed, {counts['failed']} failed, {counts['skipped']} skipped")


def _counts(report: Report) -> dict[str, int]:
    """Return the number of rules in each state."""
    states = [outcome.state for outcome in report.outcomes]
    return {state: states.count(state) for state in _MARKS}
