"""Chooses thresholds and sizes on the inner validation: of one fold, or of all folds of a row together."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
import torch

from benchbench.engine.inference.candidates import (
    UNKNOWN,
    Candidates,
    find_candidates,
    read_candidates,
    write_candidates,
)
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.inference.search import search_rules
from benchbench.engine.network.regions import region_masks, scored_voxels
from benchbench.records.run_folder import CANDIDATES_NAME, RunFolder
from benchbench.run.assignment import Assignment
from benchbench.spec.inference import Postprocess


def search_on_own_fold(assignment: Assignment, predictor: Predictor | Ensemble) -> Postprocess | None:
    """Return the protocol's post-processing; a search takes values from the inner validation of the fold."""
    rules = assignment.protocol.postprocess
    if rules is None or rules.search is None:
        return rules
    with tempfile.TemporaryFile() as file:
        _write(assignment, predictor, file)
        return search_rules(rules, assignment.regions, lambda: read_candidates(file))


def write_own_candidates(assignment: Assignment, predictor: Predictor | Ensemble) -> None:
    """Predict the inner validation and write its candidates for the search over all folds."""
    content = io.BytesIO()
    _write(assignment, predictor, content)
    assignment.folder.write(CANDIDATES_NAME, content.getvalue())


def search_over_folds(assignment: Assignment) -> tuple[Postprocess, Mapping[str, str]]:
    """Return the best rules over the candidates of all folds, and the SHA-256 of the candidates of each.

    They are read from the record of another fold that has chosen from the same candidates, if there is one.

    Raises:
        IntegrityError: the candidates of a fold were changed since they were written.
    """
    rules = assignment.protocol.postprocess
    assert rules is not None, "only a run with a search has siblings"
    digests = assignment.sibling_candidates()
    digests[str(assignment.key.fold)] = assignment.folder.digest_of(CANDIDATES_NAME)
    digests = dict(sorted(digests.items()))
    chosen = _chosen_by_sibling(assignment, digests)
    if chosen is None:
        folders = [_folder_of(assignment, int(fold)) for fold in digests]
        _verify(folders)
        chosen = _search_files(rules, assignment.regions, folders)
    return chosen, digests


def _write(assignment: Assignment, predictor: Predictor | Ensemble, file: BinaryIO) -> None:
    rules = assignment.protocol.postprocess
    assert rules is not None
    for prepared in assignment.validation:
        probabilities = predictor.probabilities(prepared)
        bits = torch.from_numpy(prepared.frame.crop(prepared.native_label()))
        regions = len(assignment.regions)
        reference = region_masks(bits[None], regions)[0]
        scored = scored_voxels(bits, regions)
        candidates = find_candidates(
            probabilities.cpu().numpy(), reference.numpy(), scored.numpy(), nested=rules.nested
        )
        positives = np.where(prepared.labelled(regions), candidates.positives, UNKNOWN)
        candidates = candidates._replace(positives=positives)
        write_candidates(file, candidates)


def _chosen_by_sibling(assignment: Assignment, digests: Mapping[str, str]) -> Postprocess | None:
    for sibling in assignment.siblings.values():
        record = sibling.folder.read_record()
        if record is None or record.status != "done" or record.digest != sibling.digests[0]:
            continue
        if record.searched == digests and record.postprocess is not None:
            return Postprocess(**record.postprocess)
    return None


def _folder_of(assignment: Assignment, fold: int) -> RunFolder:
    if fold == assignment.key.fold:
        return assignment.folder
    return assignment.siblings[fold].folder


def _verify(folders: Sequence[RunFolder]) -> None:
    for folder in folders:
        record = folder.read_record()
        assert record is not None, "its record has the digest of the candidates"
        folder.verify(CANDIDATES_NAME, record)


def _search_files(rules: Postprocess, regions: Sequence[str], folders: Sequence[RunFolder]) -> Postprocess:
    with ExitStack() as stack:
        files = [stack.enter_context((folder.path / CANDIDATES_NAME).open("rb")) for folder in folders]

        def read_cases() -> Iterator[Candidates]:
            for file in files:
                yield from read_candidates(file)

        return search_rules(rules, regions, read_cases)
