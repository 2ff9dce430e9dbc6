"""`benchbench predict`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import choose_devices, size_limit_option

if TYPE_CHECKING:
    from benchbench.errors import BenchbenchError
    from benchbench.prediction.label_output import Output
    from benchbench.prediction.predict import Outcome
    from benchbench.prediction.trained import Trained

_EXISTING = ("refuse", "skip", "overwrite")
_ROW_OPTIONS = ("results", "dataset", "folds", "seeds")
_OUTPUT_OPTIONS = ("suffix", "existing", "pictures", "probabilities")


@click.command("predict")
@click.argument("source", metavar="RUN_OR_MODEL")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), required=True, help="Folder for the label files.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder of the benchmark that has the model.",
)
@click.option("--dataset", help="The dataset that the model was trained on, if the benchmark has several.")
@click.option("--folds", metavar="all|N,...", help="Folds that predict together; default: the first that is done.")
@click.option("--seeds", metavar="all|N,...", help="The same for seeds.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N.")
@click.option("--suffix", default="", metavar="TEXT", help="Added to the names of label files, e.g. _seg.")
@click.option(
    "--existing",
    type=click.Choice(_EXISTING),
    default=_EXISTING[0],
    show_default=True,
    help="Policy for label files that exist.",
)
@click.option("--pictures", is_flag=True, help="Also write a picture of every case, as PNG.")
@click.option("--probabilities", is_flag=True, help="Also write the probabilities of every region, as NPZ.")
@size_limit_option
def predict_command(
    source: str,
    images: tuple[Path, ...],
    *,
    into: Path,
    device: str,
    **options: Any,
) -> int:
    """Predict IMAGES, files or folders, and write a label file for each, on its own grid and with its header.

    RUN_OR_MODEL is the folder of a finished run, or a model or ensemble of --results, written `unet` or
    `unet:variant`.
    """
    import torch  # noqa: PLC0415 after --help has answered

    from benchbench.cores import available_cores  # noqa: PLC0415
    from benchbench.prediction.label_output import Output  # noqa: PLC0415
    from benchbench.prediction.runs import Row, choose_runs, describe_choice  # noqa: PLC0415
    from benchbench.prediction.trained import open_trained  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    row = Row(**{name: options[name] for name in _ROW_OPTIONS})
    runs = choose_runs(source, row)
    click.echo(describe_choice(runs, row))
    torch.set_num_threads(available_cores())
    trained = open_trained(runs, discover(), torch.device(choose_devices(device)[0]))
    for remark in trained.remarks:
        click.echo(f"note: {remark}")
    output = Output(into=into, **{name: options[name] for name in _OUTPUT_OPTIONS})
    return _predict_all(images, trained, output)


def _predict_all(images: tuple[Path, ...], trained: Trained, output: Output) -> int:
    """Predict all images and return the highest exit code."""
    from benchbench.prediction.inputs import find_images  # noqa: PLC0415 as above
    from benchbench.prediction.predict import known_case_remark, predict_images  # noqa: PLC0415
    from benchbench.words import count  # noqa: PLC0415

    selection = find_images(images, trained)
    codes = [error.exit_code for error in selection.errors]
    for error in selection.errors:
        _print_error(error)
    if remark := known_case_remark(selection.cases, trained):
        click.echo(f"note: {remark}")
    written = 0
    with _progress(len(selection.cases)) as advance:
        for outcome in predict_images(selection.cases, trained, output):
            advance()
            _print_outcome(outcome)
            if outcome.error is not None:
                codes.append(outcome.error.exit_code)
            written += bool(outcome.files)
    failed = f", {len(codes)} not predicted" if codes else ""
    click.echo(f"{output.into}: labels of {count(written, 'case')} written{failed}")
    return max(codes, default=0)


def _print_outcome(outcome: Outcome) -> None:
    for remark in outcome.remarks:
        click.echo(f"note: {outcome.case.id}: {remark}")
    if outcome.error is not None:
        _print_error(outcome.error)


def _print_error(error: BenchbenchError) -> None:
    for problem in error.problems:
        click.echo(f"error: {problem}", err=True)


@contextmanager
def _progress(cases: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, and yield the function that counts a case as done."""
    from rich.console import Console  # noqa: PLC0415 as above
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(highlight=False, markup=False, emoji=False)
    with Progress(*columns, console=console, disable=not sys.stdout.isatty(), redirect_stderr=False) as bar:
        task = bar.add_task("predicting", total=cases)
        yield lambda: bar.advance(task)
