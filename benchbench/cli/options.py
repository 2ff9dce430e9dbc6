"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from benchbench.data.cache_folder import default_cache

if TYPE_CHECKING:
    from benchbench.engine.cost.gpu_use import SharedGpu
    from benchbench.engine.devices.settings import Compile

F = TypeVar("F", bound=Callable[..., Any])


def _set_size_limit(_context: click.Context, _option: click.Parameter, value: float | None) -> None:
    from benchbench.images.input_files import LIMIT_VARIABLE  # noqa: PLC0415 after --help has answered

    if value is not None:
        os.environ[LIMIT_VARIABLE] = str(value)  # worker processes read the same images


def echo_to_stderr(text: str) -> None:
    """Print a line for the user, next to the result on stdout."""
    click.echo(text, err=True)


file_argument = click.argument("file", type=click.Path(path_type=Path))
results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    envvar="BENCHBENCH_RESULTS",
    help="Folder for results.",
)
data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="BENCHBENCH_DATA",
    help="Folder that holds one folder per dataset; default: BENCHBENCH_DATA.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=default_cache,
    help="Folder for prepared and phantom data; default: BENCHBENCH_CACHE, or the user's cache.",
)
check_data_option = click.option(
    "--check-data",
    is_flag=True,
    help="Compute the digests of all data files again, also of those that are as after an earlier command.",
)
device_option = click.option(
    "--device",
    "--devices",
    default="auto",
    show_default=True,
    envvar="BENCHBENCH_DEVICE",
    help="auto, cpu, cuda:N or a list such as cuda:0,cuda:1.",
)


class _PerDevice(click.IntRange):
    """A number of runs, or auto."""

    name = "number or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


per_device_option = click.option(
    "--per-device",
    type=_PerDevice(min=1),
    metavar="N|auto",
    default=1,
    show_default=True,
    help="Runs that share each device; auto: as many as fit a GPU, by what the first run of a model needed alone.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Cases that are read at the same time; default: the number of cores of this process.",
)
size_limit_option = click.option(
    "--size-limit",
    "size_limit",
    metavar="GIB",
    type=click.FloatRange(min=0, min_open=True),
    expose_value=False,
    callback=_set_size_limit,
    help="Largest decoded image file in GiB; default: 8, and 0.25 for a plane of a TIFF or PNG file.",
)
pictures_option = click.option(
    "--no-pictures",
    is_flag=True,
    help="Write no galleries, which show images of patients, and delete existing ones.",
)
params_option = click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the plugin, e.g. width=8."
)


def choose_devices(requested: str, precisions: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the devices for --device, and print a note where `auto` uses less than the machine has.

    Raises:
        UsageError: this machine does not have a requested device, or torch has no code for it.
    """
    from benchbench.engine.devices.device import resolve_devices  # noqa: PLC0415 imports torch
    from benchbench.engine.devices.remarks import Gpu, check_gpus, device_remarks, read_gpus  # noqa: PLC0415
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.launch.child import ChildExitError, call_in_child  # noqa: PLC0415

    devices = resolve_devices(requested)
    gpus: list[Gpu] = []
    if set(devices) != {"cpu"}:
        try:  # in a child, because CUDA takes memory of a GPU in every process that has started it
            gpus = call_in_child(functools.partial(read_gpus, devices))
        except ChildExitError as error:
            raise UsageError(
                f"--device {requested}: the GPU driver {error}; repair it, or use --device cpu"
            ) from error
    check_gpus(gpus)
    for remark in device_remarks(requested, devices, gpus, precisions):
        echo_to_stderr(f"note: {remark}")
    return devices


def choose_shared_gpus(per_device: Any, devices: tuple[str, ...]) -> tuple[SharedGpu, ...]:
    """Return the GPUs that runs share for `--per-device auto`, and print a note for those that they do not share.

    Raises:
        UsageError: nvidia-ml-py, which measures GPUs, is not installed.
    """
    if per_device != "auto" or set(devices) == {"cpu"}:
        return ()
    from benchbench.engine.cost.gpu_use import read_shared_gpus  # noqa: PLC0415 imports torch
    from benchbench.extras import require_extra  # noqa: PLC0415
    from benchbench.launch.child import call_in_child  # noqa: PLC0415

    require_extra("energy", "--per-device auto")
    gpus = call_in_child(functools.partial(read_shared_gpus, devices))  # as in `choose_devices`
    for gpu in gpus:
        if not gpu.is_measured:
            echo_to_stderr(
                f"note: --per-device auto: one run at a time on {gpu.device}, because its driver does not report"
                " how busy it is; it may be a slice of a GPU"
            )
    return tuple(gpus)


def verbosity_options(command: F) -> F:
    """Add -q and -v, which choose how much a command prints while it works."""
    quiet = click.option(
        "-q",
        "--quiet",
        "verbosity",
        flag_value="quiet",
        default="normal",
        help="Print no progress: only notes, failures and the result.",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        "verbosity",
        flag_value="verbose",
        help="Print a line for every epoch, on a terminal too.",
    )
    return quiet(verbose(command))


def benchmark_options(command: F) -> F:
    """Add the options that change a benchmark or select runs of it."""
    rehearse = click.option(
        "--rehearse", is_flag=True, help="Use phantom data and the small settings of [rehearse]."
    )
    override = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a value of the file, e.g. protocol.epochs=2.",
    )
    only = click.option("--only", multiple=True, metavar="KEY=VALUE", help="Select runs, e.g. model=unet,fold=0.")
    return rehearse(override(only(command)))


def compute_options(command: F) -> F:
    """Add the options of `ComputeSettings`, which the command receives as `settings`."""

    @functools.wraps(command)
    def with_settings(
        *values: Any,
        deterministic: bool,
        compile_steps: Compile,
        resume_seconds: float,
        reporters: tuple[str, ...],
        **named: Any,
    ) -> Any:
        from benchbench.engine.devices.settings import ComputeSettings  # noqa: PLC0415 after --help has answered

        settings = ComputeSettings(
            deterministic=deterministic,
            compile=compile_steps,
            resume_seconds=resume_seconds,
            reporters=_checked(reporters),
        )
        return command(*values, settings=settings, **named)

    deterministic_option = click.option(
        "--deterministic",
        is_flag=True,
        help="Let GPUs use deterministic algorithms only: equal seeds give equal bytes, but training is slower.",
    )
    compile_option = click.option(
        "--compile",
        "compile_steps",
        type=click.Choice(["off", "auto", "graph"]),
        default="off",
        show_default=True,
        envvar="BENCHBENCH_COMPILE",
        help="Let torch compile the training steps (auto), with CUDA graphs on a GPU (graph): faster, but other"
        " rounding. A network that cannot be compiled is trained as it is.",
    )
    resume_option = click.option(
        "--resume-seconds",
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        help="Time between two saved states of a training, from which a run that was killed resumes.",
    )
    report_option = click.option(
        "--report",
        "reporters",
        multiple=True,
        metavar="NAME",
        help="Send the values of each run to an experiment tracker such as mlflow or wandb (`benchbench list`).",
    )
    return cast("F", deterministic_option(compile_option(resume_option(report_option(with_settings)))))


def _checked(reporters: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of reporters.

    Raises:
        PluginError: a plugin is missing, or a package that it needs is not installed.
    """
    if reporters:
        from benchbench.contract import ReporterPlugin  # noqa: PLC0415 after --help has answered
        from benchbench.registry.extensions import extension  # noqa: PLC0415

        for name in reporters:
            extension(ReporterPlugin, name)
    return reporters


def read_params(factory: Callable[..., Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return all parameters of a plugin's factory: the defaults, changed by `--set name=value`.

    Raises:
        UsageError: with every parameter that is unknown or has a wrong type.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.registry.parameters import check_params, resolve_params  # noqa: PLC0415
    from benchbench.spec.document import parse_value  # noqa: PLC0415 after --help has answered

    params = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise UsageError(f"--set {override}: no '='; write it like --set width=8")
        params[name.strip()] = parse_value(text)
    if problems := check_params(factory, params):
        raise UsageError(*(f"--set {name}: {message}" for name, message in problems))
    return resolve_params(factory, params)
