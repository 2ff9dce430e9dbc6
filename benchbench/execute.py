"""Carries out one run: seeds, trains, chooses the checkpoint, scores the test cases, leaves a record.

Runs inside the process that a launcher gives it. The test cases are opened only once training is over.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchbench.engine.prepare import PreparedCase
from benchbench.errors import BenchbenchError
from benchbench.plan import RunKey
from benchbench.plugins import discover
from benchbench.protocol import Protocol
from benchbench.provenance import code_state, machine, versions
from benchbench.store import Record, RunFolder

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

    from benchbench.engine.train import Training

_RESUME_SECONDS = 60.0
_HELD_SECONDS = 15.0  # how long a dying process may keep a run


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that a process needs to carry out one run."""

    key: RunKey
    protocol: Protocol
    resolved: Mapping[str, Any]
    digest: str
    data_digest: str
    split_digest: str
    entry_point: str
    """Of the model's plugin."""
    model_params: Mapping[str, Any]
    channels: tuple[str, ...]
    regions: tuple[str, ...]
    train: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]
    test: tuple[PreparedCase, ...]
    folder: RunFolder
    device: str
    threads: int

    def is_done_by(self, record: Record | None) -> bool:
        """Whether a record is what this run would give: the same spec, code, data and split, and an end."""
        return (
            record is not None
            and record.status != "failed"
            and (record.digest, record.data_digest, record.split_digest)
            == (self.digest, self.data_digest, self.split_digest)
        )

    def record(self, **fields: Any) -> Record:
        """A record of this run with the given outcome."""
        return Record(
            **self.key._asdict(),
            digest=self.digest,
            data_digest=self.data_digest,
            split_digest=self.split_digest,
            resolved=self.resolved,
            **fields,
        )


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    epochs: float
    """Epochs trained, the share of the present one included."""
    of: int
    note: str = ""


Report = Callable[[Progress], None]


def execute(assignment: Assignment, report: Report) -> Record:
    """Carries out a run and writes its record, also when it fails; one that is done is left as it is.

    Raises:
        RunBusyError: another process is at this run.
    """
    began = time.monotonic()
    with assignment.folder.held(_HELD_SECONDS):
        earlier = assignment.folder.read_record()
        if earlier is not None and assignment.is_done_by(earlier):
            return earlier
        assignment.folder.discard("run.json")
        try:
            record = _execute(assignment, report)
        except Exception as error:  # noqa: BLE001 a run that fails is a row with its reason
            traceback.print_exc()
            record = assignment.record(
                status="failed", reason=_reason(error), provenance=_provenance(assignment), seconds=0
            )
        record = replace(record, seconds=time.monotonic() - began)
        assignment.folder.write_record(record)
        assignment.folder.discard("resume.pt")
    return record


def derive_seed(*words: object) -> int:
    """A seed for one purpose, the same on every machine."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:7])


def _execute(assignment: Assignment, report: Report) -> Record:
    import torch  # noqa: PLC0415 reading and planning do without

    from benchbench.engine.network import check_output, count_parameters, geometry, place_on  # noqa: PLC0415
    from benchbench.engine.train import DivergedError, Training  # noqa: PLC0415

    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    plugin = discover([assignment.entry_point]).model(assignment.key.model)
    wanted = geometry(assignment.protocol, channels=len(assignment.channels), regions=len(assignment.regions))
    torch.manual_seed(derive_seed("weights", assignment.key.seed))
    model = place_on(plugin.build(wanted, **assignment.model_params), device)
    check_output(plugin, model, wanted, assignment.protocol)
    training = _training(Training, assignment, model, device)
    status, reason = "done", ""
    try:
        _train(assignment, training, report)
    except DivergedError as error:
        status, reason = "diverged", str(error)
    if training.best_epoch is not None:
        model.load_state_dict(training.best)
        _score(assignment, model, device)
    scored = training.best_epoch is not None
    return assignment.record(
        status=status,
        reason=reason,
        provenance=_provenance(assignment, torch=torch),
        seconds=0.0,
        parameters=count_parameters(model),
        epochs=len(training.history),
        best_epoch=training.best_epoch,
        files={name: assignment.folder.digest_of(name) for name in ("cases.parquet", "slices.parquet") if scored},
    )


def _training(
    kind: type[Training], assignment: Assignment, model: torch.nn.Module, device: torch.device
) -> Training:
    """A training from its beginning, or from where an interrupted one of the same digests left off."""
    from benchbench.engine.sampling import Slices  # noqa: PLC0415 torch, as above

    training = kind(
        model,
        Slices(assignment.train, device=device),
        Slices(assignment.validation, device=device),
        assignment.protocol,
        regions=len(assignment.regions),
    )
    saved = assignment.folder.read_resume(_resume_tag(assignment))
    assignment.folder.clear()
    if saved is not None:
        training.load(saved)
        _keep(assignment, training)
    return training


def _train(assignment: Assignment, training: Training, report: Report) -> None:
    from benchbench.engine.train import DivergedError  # noqa: PLC0415

    saved = time.monotonic()
    with assignment.folder.events() as events:
        while not training.is_over:
            row = _run_epoch(assignment, training, report)
            if training.best_epoch == row["epoch"]:
                _keep(assignment, training)
            assignment.folder.write_history(training.history)
            events(row["epoch"], row)
            report(Progress(row["epoch"] + 1, assignment.protocol.epochs, _note(row)))
            if time.monotonic() - saved > _RESUME_SECONDS:
                assignment.folder.write_resume(_resume_tag(assignment), training.save())
                saved = time.monotonic()
    if not training.best:
        raise DivergedError("no epoch was good enough to keep")


def _run_epoch(assignment: Assignment, training: Training, report: Report) -> Mapping[str, Any]:
    """One epoch, with random streams of its own: it does not matter where a run was interrupted."""
    import torch  # noqa: PLC0415 as above

    epoch = len(training.history)
    place = (assignment.key.seed, assignment.key.fold, epoch)
    torch.manual_seed(derive_seed("dropout", *place))
    generator = torch.Generator().manual_seed(derive_seed("batches", *place))

    def progress(share: float) -> None:
        report(Progress(epoch + share, assignment.protocol.epochs))

    return training.run_epoch(generator, progress=progress)


def _keep(assignment: Assignment, training: Training) -> None:
    """Writes the best weights so far."""
    from safetensors.torch import save  # noqa: PLC0415 torch, as above

    if training.best:
        described = {"digest": assignment.digest, "model": assignment.key.model, "epoch": training.best_epoch}
        weights = {name: tensor.contiguous() for name, tensor in training.best.items()}
        # one entry: safetensors writes several in an order of chance, and the same run should leave the same bytes
        assignment.folder.write("best.safetensors", save(weights, metadata={"benchbench": json.dumps(described)}))


def _score(assignment: Assignment, model: torch.nn.Module, device: torch.device) -> None:
    from benchbench.engine.predict import count_case, predict_case  # noqa: PLC0415 torch, as above

    counts = {}
    for prepared in assignment.test:
        masks = predict_case(model, prepared, protocol=assignment.protocol, device=device)
        counts[prepared] = count_case(prepared, masks)  # (S, K, 4)
    assignment.folder.write_table("slices.parquet", _table(assignment, counts, by_slice=True))
    assignment.folder.write_table("cases.parquet", _table(assignment, counts, by_slice=False))
    _preview(assignment, model, device, counts)


def _preview(
    assignment: Assignment,
    model: torch.nn.Module,
    device: torch.device,
    counts: Mapping[PreparedCase, NDArray[np.int64]],
) -> None:
    """Pictures of the best, the median and the worst case by Dice."""
    from benchbench.engine.predict import predict_case  # noqa: PLC0415 torch, as above
    from benchbench.engine.preview import draw_preview  # noqa: PLC0415
    from benchbench.metrics import Counts, overlap  # noqa: PLC0415

    def dice(prepared: PreparedCase) -> tuple[float, str]:
        totals = counts[prepared].sum(0)  # (K, 4)
        return float(overlap("dice", Counts(*totals.T)).mean()), prepared.case.id

    ranked = sorted(counts, key=dice)
    for name, prepared in (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1])):
        masks = predict_case(model, prepared, protocol=assignment.protocol, device=device)
        assignment.folder.write(f"previews/{name}.png", draw_preview(prepared, masks))


def _table(
    assignment: Assignment, counts: Mapping[PreparedCase, NDArray[np.int64]], *, by_slice: bool
) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 as late as it is needed

    rows: list[dict[str, Any]] = []
    for prepared, stack in counts.items():
        named = {**assignment.key._asdict(), "case": prepared.case.id, "patient": prepared.case.patient}
        volumes = enumerate(stack) if by_slice else [(0, stack.sum(0))]
        for number, volume in volumes:
            place = {**named, "slice": number} if by_slice else named
            rows += [
                {**place, "region": region, **dict(zip(("tp", "fp", "fn", "tn"), line.tolist(), strict=True))}
                for region, line in zip(assignment.regions, volume, strict=True)
            ]
    return pa.Table.from_pylist(rows)


def _resume_tag(assignment: Assignment) -> str:
    return f"{assignment.digest} {assignment.data_digest} {assignment.split_digest} {assignment.device}"


def _note(row: Mapping[str, Any]) -> str:
    return f"loss {row['train_loss']:.3f}, validation Dice {row['validation_dice_case']:.3f}"


def _reason(error: Exception) -> str:
    if isinstance(error, BenchbenchError):
        return str(error)
    first = str(error).strip().splitlines()[:1]
    return f"{type(error).__name__}: {first[0] if first else 'no message'} (worker.log has the rest)"


def _provenance(assignment: Assignment, *, torch: Any = None) -> dict[str, Any]:
    device: dict[str, Any] = {"device": assignment.device, "threads": assignment.threads}
    if torch is not None and assignment.device.startswith("cuda"):
        device["name"] = torch.cuda.get_device_name(assignment.device)
        device["cuda"] = torch.version.cuda
        device["peak_memory_bytes"] = torch.cuda.max_memory_allocated(assignment.device)
        device["precision"] = assignment.protocol.precision
    else:
        device["precision"] = "fp32"
    seeds = {"seed": assignment.key.seed, "weights": derive_seed("weights", assignment.key.seed)}
    return {"code": code_state(), "versions": versions(), "machine": machine(), **device, "seeds": seeds}
