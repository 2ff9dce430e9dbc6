"""Gets the steps of a training ready: compiles them where the machine asks for it, and measures their memory."""

from __future__ import annotations

import sys
import traceback
from typing import NamedTuple

import torch
from torch import nn

from benchbench.engine.devices.distributed import Processes
from benchbench.engine.training.forward import Compiled, ForwardPass, choose_compiled, set_up_compiler
from benchbench.engine.training.trial_step import Trial, try_steps, weights_bytes
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment
from benchbench.run.network_geometry import geometry_of

_RESERVE = 1.1
"""Memory that is left free, as a multiple of what a training takes: that of a GPU is in pieces."""
_LONGEST_REASON = 200


class ReadySteps(NamedTuple):
    """The forward pass of a training, and what was measured with it."""

    forward: ForwardPass
    compile_seconds: float
    memory_bytes: int | None
    """GPU memory of a training without its cases and weights; None where it is unknown or does not matter."""


def get_steps_ready(
    assignment: Assignment, model: nn.Module, device: torch.device, processes: Processes
) -> ReadySteps:
    """Return the forward pass of a training; where it cannot be compiled, it computes as without the request.

    The network stays as it is: a copy takes the steps that compile and measure. All processes compile, or none.
    """
    compiled = choose_compiled(assignment.settings.compile, assignment.protocol, device)
    remark = ""
    if compiled != "off":
        steps, remark = _compile(assignment, model, device, processes, compiled)
        if steps is not None:
            return steps
    forward = _forward_pass(assignment, processes, "off", remark)
    memory_bytes = None
    if device.type == "cuda" and assignment.settings.keeps_data_on_gpu:
        memory_bytes = _measure(assignment, model, forward, device)
    return ReadySteps(forward, 0.0, memory_bytes)


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
    part = free / assignment.runs_per_device
    if assignment.gpu_bytes is not None:
        part = min(free, assignment.gpu_bytes)
    left = part - _RESERVE * steps.memory_bytes
    return max(0.0, float(left / free))


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


def _measure(assignment: Assignment, model: nn.Module, forward: ForwardPass, device: torch.device) -> int | None:
    """Return the GPU memory of a training; None if a step failed, which the training itself will then report."""
    try:
        trial = _try(assignment, model, forward, device)
    except Exception:  # noqa: BLE001 as above; out of memory, the training may have just enough without the copy
        traceback.print_exc(file=sys.stderr)
    else:
        return _training_bytes(trial, assignment, model)
    torch.cuda.empty_cache()  # here the exception, which has the tensors of the step, is gone
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


def _try(assignment: Assignment, model: nn.Module, forward: ForwardPass, device: torch.device) -> Trial:
    return try_steps(
        model,
        forward,
        channels=geometry_of(assignment).in_channels,
        device=device,
        is_partial=any(case.unlabelled_bits for case in assignment.train),
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
