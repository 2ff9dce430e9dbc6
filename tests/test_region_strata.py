"""Folds that are spread over patients with and without a region, and over its sizes."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench import Case, CaseRef, DataError, Task
from benchbench.data.folds import PARTS
from benchbench.data.region_strata import metadata_for_strata
from benchbench.data.split_file import folds_of
from benchbench.spec.protocol import Protocol


class Lesions:
    """Twelve patients: four without a lesion, the others with 1 to 8 voxels; the last one has no label of it."""

    task = Task(channels=("x",), regions={"lesion": (1,), "organ": (2,)})
    voxels = (*[0] * 4, *range(1, 9), 3)

    def cases(self) -> list[CaseRef]:
        return [CaseRef(str(number), f"p{number:02}") for number in range(len(self.voxels))]

    def load(self, case_id: str) -> Case:
        label = np.zeros((1, 4, 4), np.uint8)
        label.ravel()[: self.voxels[int(case_id)]] = 1
        declared = ("organ",) if int(case_id) == 12 else None
        image = np.ones((1, 1, 4, 4))
        spacing = (1.0, 1.0, 1.0)
        return Case(image=image, label=label, affine=None, spacing_mm=spacing, labelled_regions=declared)

    def metadata(self) -> dict[str, dict[str, str]]:
        return {"p00": {"site": "A"}}


def groups(column: str) -> dict[str, str]:
    metadata = metadata_for_strata(Lesions(), Lesions().cases(), column)
    return {patient: row[column] for patient, row in metadata.items()}


def test_patients_are_grouped_by_the_presence_of_a_region() -> None:
    by_patient = groups("presence:lesion")
    assert [by_patient.get(f"p{number:02}", "") for number in range(13)] == [*["no"] * 4, *["yes"] * 8, ""]


def test_patients_are_grouped_by_thirds_of_its_size() -> None:
    by_patient = groups("size:lesion")
    assert [by_patient[f"p{number:02}"] for number in range(4, 12)] == [
        *["small"] * 3,
        *["medium"] * 3,
        *["large"] * 2,
    ]
    assert {by_patient[f"p{number:02}"] for number in range(4)} == {"none"}


def test_the_size_of_a_patient_is_the_volume_of_the_largest_case() -> None:
    class Scans(Lesions):
        def cases(self) -> list[CaseRef]:
            return [CaseRef("4", "a"), CaseRef("11", "a"), CaseRef("5", "b"), CaseRef("6", "c")]

    metadata = metadata_for_strata(Scans(), Scans().cases(), "size:lesion")
    assert {name: row["size:lesion"] for name, row in metadata.items()} == {
        "a": "large",
        "b": "small",
        "c": "medium",
    }


def test_every_fold_tests_patients_of_both_groups() -> None:
    fields = {"patch": (8, 8), "epochs": 1, "batch": 1, "loss": "bce", "optimizer": {"name": "adam", "lr": 0.1}}
    protocol = Protocol.model_validate({**fields, "folds": 4, "stratify": "presence:lesion"})
    cases = Lesions().cases()[:12]
    folds = folds_of(cases, protocol, metadata_for_strata(Lesions(), cases, protocol.stratify))
    for fold in folds:
        tested = sorted(Lesions.voxels[int(case.id)] > 0 for case in fold.test)
        assert tested == [False, True, True]
        assert {case.id for part in PARTS for case in fold.part(part)} == {case.id for case in cases}


def test_other_columns_are_those_of_the_metadata_and_unknown_regions_are_refused() -> None:
    assert metadata_for_strata(Lesions(), [], "site") == {"p00": {"site": "A"}}
    assert metadata_for_strata(Lesions(), [], None) == {}
    with pytest.raises(DataError, match=r"protocol\.stratify: no region 'lesions' in the dataset; did you mean"):
        metadata_for_strata(Lesions(), [], "size:lesions")
