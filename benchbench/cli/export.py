"""`benchbench export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbench.prediction.bundles.write import ExportedBundle
    from benchbench.prediction.runs import FinishedRun
    from benchbench.prediction.trained import Trained

_BUNDLE = "monai-bundle"
_FORMATS = ("torchscript", "onnx", "safetensors", _BUNDLE)
_LARGE = 1e-3  # difference of logits, or mean difference of probabilities, that a user should look into
_UNEQUAL = 1e-3  # share of voxels with another label
_WINDOWS = 10  # times as much where the windows are at other voxels


@click.command("export")
@click.argument("source", metavar="RUN_OR_MODEL")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(_FORMATS),
    required=True,
    help="Format of the file; monai-bundle is a folder.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder of the benchmark that has the model.",
)
@click.option("--dataset", help="The dataset that the model was trained on, if the benchmark has several.")
@click.option("--folds", metavar="N", help="Fold of the run; default: the first that is done.")
@click.option("--seeds", metavar="N", help="The same for the seed.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File or folder to write; default: named after the run."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An image for the comparison, its files one by one; default: random numbers.",
)
def export_command(
    source: str, *, output_format: Any, out: Path | None, images: tuple[Path, ...], **row: Any
) -> int:
    """Write the network of a finished run to a file that other programs read, and compare its outputs.

    RUN_OR_MODEL is the folder of a run, or a model of --results, written `unet` or `unet:variant`. The file has
    one network, that of the best checkpoint, and metadata: normalisation, voxel size, channels and labels.
    """
    from benchbench.prediction.runs import Row, choose_runs  # noqa: PLC0415 after --help has answered

    run = _single_run(source, choose_runs(source, Row(**row)))
    if output_format == _BUNDLE:
        return _write_bundle(run, out, images)
    return _write_network(run, output_format, out, images)


def _single_run(source: str, runs: Sequence[FinishedRun]) -> FinishedRun:
    """Return the only run of a row, whose networks are its own.

    Raises:
        UsageError: there are several runs, or it predicts with the networks of several.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.prediction.runs import members_of  # noqa: PLC0415

    is_of_trials = bool(runs[0].record.tuning and runs[0].record.members)
    if len(runs) > 1 or len(members_of(runs[0])) > 1 or is_of_trials:
        raise UsageError(f"{source}: found several networks, expected one; choose a fold, a seed or a member")
    return runs[0]


def _open(run: FinishedRun) -> Trained:
    """Return the network of a run, after printing what a user should know about it."""
    import torch  # noqa: PLC0415

    from benchbench.prediction.trained import open_trained  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    trained = open_trained([run], discover(), torch.device("cpu"))
    for remark in trained.remarks:
        click.echo(f"note: {remark}")
    return trained


def _name(run: FinishedRun) -> str:
    return "_".join(map(str, run.record.key))


def _write_network(run: FinishedRun, output_format: Any, out: Path | None, images: Sequence[Path]) -> int:
    """Write a network file, print its differences, and return the exit code."""
    from benchbench.prediction.network_files import SUFFIXES, export_network, geometry_of_trained  # noqa: PLC0415
    from benchbench.prediction.network_inputs import input_of_image, random_input  # noqa: PLC0415

    trained = _open(run)
    geometry = geometry_of_trained(trained)
    given = input_of_image(list(images), trained, geometry) if images else random_input(geometry)
    path = out or Path(_name(run) + SUFFIXES[output_format])
    exported = export_network(run, trained, given, output_format=output_format, out=path)
    click.echo(f"{exported.path}: logits differ by at most {exported.difference:.2g} on {exported.compared_on}")
    if not exported.difference <= _LARGE:
        click.echo(f"error: {exported.path}: differs by more than {_LARGE:g}; do not use the file", err=True)
        return 1
    return 0


def _write_bundle(run: FinishedRun, out: Path | None, images: Sequence[Path]) -> int:
    """Write a bundle, print its differences, and return the exit code."""
    from benchbench.prediction.bundles.write import export_bundle  # noqa: PLC0415

    return _report_bundle(export_bundle(run, _open(run), list(images), out or Path(_name(run))))


def _report_bundle(exported: ExportedBundle) -> int:
    """Print the differences between a bundle and its run, and return the exit code."""
    differences = exported.differences
    click.echo(
        f"{exported.path}: probabilities differ by at most {differences.largest:.2g}, {differences.mean:.2g} on"
        f" average, and {differences.equal:.4%} of the voxels have the same label on {exported.compared_on}"
    )
    tolerance = 1 if differences.has_same_windows else _WINDOWS
    if not differences.has_same_windows:
        click.echo("note: MONAI places the windows of this image at other voxels, so that predictions differ more")
    is_near = differences.mean <= tolerance * _LARGE
    if is_near and 1 - differences.equal <= tolerance * _UNEQUAL:
        return 0
    click.echo(
        f"error: {exported.path}: differs by more than {tolerance * _LARGE:g} on average, or in more than"
        f" {tolerance * _UNEQUAL:.1%} of the labels; do not use the bundle",
        err=True,
    )
    return 1
