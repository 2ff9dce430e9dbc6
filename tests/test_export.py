from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from benchbench import Case, CaseRef, Task
from benchbench.engine.inference.export import label_nifti, region_labels
from benchbench.engine.preparation.labels import region_bits
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol

REGIONS = {"whole_tumour": (1, 2, 4), "tumour_core": (1, 4), "enhancing": (4,)}


def test_masks_become_the_labels_that_they_came_from() -> None:
    label = np.array([0, 1, 2, 4])
    bits = region_bits(label, Task(channels=("x",), regions=REGIONS))
    masks = np.stack([bits >> number & 1 > 0 for number in range(3)])
    assert region_labels(masks, REGIONS).tolist() == label.tolist()


def test_a_combination_without_a_label_becomes_the_nearest_label() -> None:
    enhancing_alone = np.array([[False], [False], [True]])
    whole_and_enhancing = np.array([[True], [False], [True]])
    assert region_labels(enhancing_alone, REGIONS).tolist() == [0]
    assert region_labels(whole_and_enhancing, REGIONS).tolist() == [2]


def test_a_prediction_has_the_grid_of_its_case(tmp_path: Path) -> None:
    affine = np.array(
        [[0.0, 0, -2, 10], [-1, 0, 0, 20], [0, -3, 0, 30], [0, 0, 0, 1]]
    )  # posterior, inferior, left
    label = np.zeros((4, 5, 6), np.uint8)
    label[1, 2, 3:] = 1
    image = np.zeros((1, 4, 5, 6), np.int16)
    image[0, 1:3, 1:4, 2:] = 7
    task = Task(channels=("x",), regions={"region": (1,)})
    protocol = Protocol.model_validate(
        {
            "ndim": 3,
            "patch": (4, 4, 4),
            "epochs": 1,
            "batch": 1,
            "optimizer": {"name": "adam", "lr": 1.0},
            "loss": "bce",
        }
        | {"crop": "nonzero"}
    )
    case = Case(image=image, label=label, affine=affine, spacing_mm=(1.0, 3.0, 2.0))
    write_prepared(case, task, protocol, tmp_path / "case")
    prepared = PreparedCase(CaseRef("case", "patient"), tmp_path / "case")
    assert prepared.spacing_mm == (3.0, 1.0, 2.0)
    masks = prepared.frame.paste(prepared.label()[None] > 0).swapaxes(0, 1)
    content = label_nifti(prepared, masks, task.regions)
    read = nib.nifti1.Nifti1Image.from_bytes(gzip.decompress(content))
    assert np.array_equal(np.asarray(read.dataobj), label)
    assert np.array_equal(read.affine, affine)
    assert content == label_nifti(prepared, masks, task.regions)
