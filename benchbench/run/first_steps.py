"""Gets the steps of a training ready: compiles them if asked to, and measures their memory and memory layouts."""

from __future__ import annotations

import math
import sys
import traceback
from typing import NamedTuple

import torch
from torch import nn

from benchbench.engine.devices.distributed import Processes
from benchbench.engine.network.memory_layout import Layout, has_choice_of_layout, to_channels_last_3d
from benchbench.engine.training.forward import Compiled, ForwardPass, choose_compiled, set_up_compiler
from benchbench.engine.training.trial_step import Trial, try_steps, weights_bytes
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment
from benchbench.run.network_geometry import geometry_of

_RESERVE = 1.1
"""Memory that is left free, as a multiple of what a training takes: that of a GPU is in pieces."""
_GAIN = 1.05
"""Ratio of two times from which another memory layout is worth its own rounding."""
_UNLIKE = 0.1
"""Relative difference of the first losses of two layouts that is more than rounding and other draws of dropout."""
_LONGEST_REASON = 200


class ReadySteps(NamedTuple):
    """The forward pass of a training, and what was measured with it."""

    forward: ForwardPass
    compile_seconds: float
    memory_bytes: int | None
    """GPU memory of a training without its cases and weights; None where it is unknown or does not matter."""


def get_steps_ready(
    assignment: Assignment,
    model: nn.Module,
    device: torch.device,
    processes: Processes,
    *,
    layout: Layout | None = None,
) -> ReadySteps:
    """Return the forward pass of a training; where it cannot be compiled, it computes as without the request.

    A copy of the network takes the steps that compile and measure; the weights of the network keep their values
    and get the faster memory layout. `layout` is that of an interrupted training, which continues with it; None
    for a new one. All processes compile, or none, and all use the same layout.
    """
    compiled = choose_compiled(assignment.settings.compile, assignment.protocol, device)
    remark = ""
    if compiled != "off":
        steps, remark = _compile(assignment, model, device, processes, compiled)
        if steps is not None:
            return steps
    forward = _forward_pass(assignment, processes, "off", remark)
    if device.type != "cuda":
        return ReadySteps(forward, 0.0, None)
    trial: Trial | None = None
    if layout is None:
        layout, trial = _choose_layout(assignment, model, forward, device, processes)
    if layout == "channels_last_3d":
        to_channels_last_3d(model)
    if not assignment.settings.keeps_data_on_gpu:
        return ReadySteps(forward, 0.0, None)
    trial = trial or _measure(assignment, model, forward, device)
    return ReadySteps(forward, 0.0, None if trial is None else _training_bytes(trial, assignment, model))


def resident_share(assignment: Assignment, steps: ReadySteps, device: torch.device) -> float:
    """Return the share of the free GPU memory that cases may take: all that the training leaves.

    Runs on one GPU see the same free memory, of which each takes an equal part, or what was measured before for
    its row. Nothing is taken where the memory of a training is unknown.
    """
    if not assignment.settings.keeps_data_on_gpu:
        return 0.0
    if device.type != "cuda":
        return 1.0  # no case is copied to a CPU
    if steps.memory_bytes is None:
        return 0.0
    free, _ = torch.cuda.mem_get_info(device)
    return float(max(0.0, _bytes_left(assignment, steps.memory_bytes, device) / free))


def _bytes_left(assignment: Assignment, memory_bytes: int, device: torch.device) -> float:
    """Return the free GPU memory of a run less that of its training; below 0 where this is too large."""
    free, _ = torch.cuda.mem_get_info(device)
    part = free / assignment.runs_per_device
    if assignment.gpu_bytes is not None:
        part = min(free, assignment.gpu_bytes)
    return float(part - _RESERVE * memory_bytes)


def _compile(
    assignment: Assignment, model: nn.Module, device: torch.device, processes: Processes, compiled: Compiled
) -> tuple[ReadySteps | None, str]:
    """Return compiled steps, or None and the reason why there are none."""
    if not discover([assignment.entry_point]).model(assignment.plugin).compiles:
        return None, f"the training steps of {assignment.plugin} are not compiled, because its plugin excludes it"
    set_up_compiler(assignment.settings.compile_cache, threads=assignment.threads)
    forward = _forward_pass(assignment, processes, compiled)
    trial: Trial | None = None
    failure = ""
    try:
        trial = _try(assignment, model, forward, device)
    except Exception as error:  # noqa: BLE001 a compiler raises errors of many kinds
        traceback.print_exc(file=sys.stderr)  # worker.log
        failure = _describe(error)
    failures = [reason for reason in processes.gather(failure) if reason]
    if failures or trial is None:
        torch.compiler.reset()
        return None, f"the training steps were not compiled, because the compiler failed: {failures[0]}"
    memory_bytes = _training_bytes(trial, assignment, model) if device.type == "cuda" else None
    return ReadySteps(forward, trial.compile_seconds, memory_bytes), ""


def _choose_layout(
    assignment: Assignment, model: nn.Module, forward: ForwardPass, device: torch.device, processes: Processes
) -> tuple[Layout | None, Trial | None]:
    """Return the memory layout of all processes, and the trial with it, which is None where it failed.

    The layout is None where there is no choice.
    """
    if assignment.settings.deterministic or not has_choice_of_layout(model, device):
        return None, None
    contiguous = _measure(assignment, model, forward, device, layout="contiguous")
    other = _measure(assignment, model, forward, device, layout="channels_last_3d")
    is_better = False
    if contiguous is not None and other is not None:
        is_faster = other.step_seconds * _GAIN < contiguous.step_seconds
        is_alike = math.isclose(other.loss, contiguous.loss, rel_tol=_UNLIKE)
        memory_bytes = _training_bytes(other, assignment, model)
        is_better = is_faster and is_alike and _bytes_left(assignment, memory_bytes, device) >= 0
    if all(processes.gather(is_better)):
        return "channels_last_3d", other
    return "contiguous", contiguous


def _measure(
    assignment: Assignment,
    model: nn.Module,
    forward: ForwardPass,
    device: torch.device,
    *,
    layout: Layout | None = None,
) -> Trial | None:
    """Return a trial of the steps; None if one failed, which the training itself will then report."""
    try:
        return _try(assignment, model, forward, device, timed_layout=layout)
    except Exception:  # noqa: BLE001 as above; out of memory, the training may have just enough without the copy
        traceback.print_exc(file=sys.stderr)
    # here the exception, which has the tensors of the step, is gone
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return None


def _forward_pass(
    assignment: Assignment, processes: Processes, compiled: Compiled, remark: str = ""
) -> ForwardPass:
    return ForwardPass(
        assignment.protocol,
        regions=len(assignment.regions),
        processes=processes,
        compiled=compiled,
        remark=remark,
    )


def _try(
    assignment: Assignment,
    model: nn.Module,
    forward: ForwardPass,
    device: torch.device,
    *,
    timed_layout: Layout | None = None,
) -> Trial:
    return try_steps(
        model,
        forward,
        channels=geometry_of(assignment).in_channels,
        device=device,
        is_partial=any(case.unlabelled_bits for case in assignment.train),
        timed_layout=timed_layout,
    )


def _training_bytes(trial: Trial, assignment: Assignment, model: nn.Module) -> int:
    """Return the memory of a step, of the weights that are kept, and of the gradients that processes exchange."""
    protocol = assignment.protocol
    copies = protocol.keep + 1
    if protocol.ema is not None:
        copies += 2
    if protocol.world_size > 1:
        copies += 1
    return (trial.memory_bytes or 0) + copies * weights_bytes(model)


def _describe(error: Exception) -> str:
    """Return the type and the first line of the message of an exception."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"[:_LONGEST_REASON]
