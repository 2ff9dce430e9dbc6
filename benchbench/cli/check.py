"""`benchbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbench.cli.options import data_root_option, params_option, read_params

if TYPE_CHECKING:
    from benchbench.testing import Report


@click.command("check")
@click.argument("name")
@params_option
@click.option("--compile", "compiled", is_flag=True, help="Models: try torch.compile as well; takes a minute.")
@data_root_option
def check_command(name: str, *, overrides: tuple[str, ...], compiled: bool, data_root: Path | None) -> int:
    """Hold the dataset or model NAME against the rules of its kind, and say how to mend what breaks one.

    A model is built small: --set width=8 makes most of them quick. A dataset is tried on a phantom, with
    --data-root on the files there.
    """
    from benchbench.contract import DatasetPlugin  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415
    from benchbench.testing import examine_dataset, examine_model  # noqa: PLC0415

    plugin = discover().find(name).plugin
    if isinstance(plugin, DatasetPlugin):
        root = data_root / name if data_root and (data_root / name).is_dir() else None
        report = examine_dataset(plugin, root, read_params(plugin.open, overrides))
    else:
        report = examine_model(plugin, read_params(plugin.build, overrides), compiled=compiled)
    _print(report)
    return 1 if report.broken else 0


def _print(report: Report) -> None:
    for outcome in report.outcomes:
        mark = {"kept": "ok", "broken": "mend", "skipped": "-"}[outcome.state]
        reason = f" ({outcome.lines[0]})" if outcome.state == "skipped" else ""
        click.echo(f"{mark:<5} {outcome.where:<8} {outcome.rule}: {outcome.asks}{reason}")
        if outcome.state == "broken":
            for line in outcome.lines:
                click.echo(f"{'':<15}{line}")
    for refusal in report.refused:
        click.echo(f"refused, as it may: {refusal}")
    kept = sum(outcome.state == "kept" for outcome in report.outcomes)
    broken = sum(outcome.state == "broken" for outcome in report.outcomes)
    click.echo(f"{report.plugin}: {kept} rules kept, {broken} broken")
