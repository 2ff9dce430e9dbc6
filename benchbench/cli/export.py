"""`benchbench export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FORMATS = ("torchscript", "onnx", "safetensors")
_LARGE = 1e-3  # difference of logits that a user should look into


@click.command("export")
@click.argument("source", metavar="RUN_OR_MODEL")
@click.option("--format", "output_format", type=click.Choice(_FORMATS), required=True, help="Format of the file.")
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
@click.option("--out", type=click.Path(path_type=Path), help="File to write; default: named after the run.")
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
    import torch  # noqa: PLC0415 after --help has answered

    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.prediction.network_files import SUFFIXES, export_network, geometry_of_trained  # noqa: PLC0415
    from benchbench.prediction.network_inputs import input_of_image, random_input  # noqa: PLC0415
    from benchbench.prediction.runs import Row, choose_runs, members_of  # noqa: PLC0415
    from benchbench.prediction.trained import open_trained  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    runs = choose_runs(source, Row(**row))
    is_of_trials = bool(runs[0].record.tuning and runs[0].record.members)
    if len(runs) > 1 or len(members_of(runs[0])) > 1 or is_of_trials:
        raise UsageError(f"{source}: found several networks, expected one; choose a fold, a seed or a member")
    trained = open_trained(runs, discover(), torch.device("cpu"))
    geometry = geometry_of_trained(trained)
    given = input_of_image(list(images), trained, geometry) if images else random_input(geometry)
    path = out or Path("_".join(map(str, runs[0].record.key)) + SUFFIXES[output_format])
    exported = export_network(runs[0], trained, given, output_format=output_format, out=path)
    for remark in trained.remarks:
        click.echo(f"note: {remark}")
    click.echo(f"{exported.path}: logits differ by at most {exported.difference:.2g} on {exported.compared_on}")
    if not exported.difference <= _LARGE:
        click.echo(f"error: {exported.path}: differs by more than {_LARGE:g}; do not use the file", err=True)
        return 1
    return 0
