"""Patterns of file names: what they match, what they refuse, and names that can be read in two ways."""

from __future__ import annotations

import pytest

from benchbench import DataError
from benchbench_datasets.name_pattern import NamePattern


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("images/{case}.png", "images/a_1.png", {"case": "a_1"}),
        ("images/{case}.png", "images/deeper/a.png", None),
        ("images/{case}.png", "images/a.png.bak", None),
        ("images/{case}.png", "Images/a.png", None),
        ("{case}.nii.gz", "a.b.nii.gz", {"case": "a.b"}),
        ("{patient}/{patient}_{slice}.tif", "p1/p1_12.tif", {"patient": "p1", "slice": "12"}),
        ("{patient}/{patient}_{slice}.tif", "p1/p2_12.tif", None),
        ("{patient}/{patient}_{slice}.tif", "p1/p1_mask.tif", None),
        ("*/{case}_t1.nii", "site A/x_t1.nii", {"case": "x"}),
        ("{case}(1)+[a].png", "x(1)+[a].png", {"case": "x"}),
    ],
)
def test_a_pattern_reads_the_fields_of_a_path(pattern: str, path: str, values: dict[str, str] | None) -> None:
    assert NamePattern(pattern).match(path) == values
    if values and "*" not in pattern:
        assert NamePattern(pattern).fill(values) == path


def test_a_name_that_can_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        NamePattern("{patient}_{case}.png").match("a_b_c.png")
    assert str(caught.value) == (
        "a_b_c.png: found a name that '{patient}_{case}.png' reads as patient 'a', case 'b_c' and as patient 'a_b',"
        " case 'c', expected one way; make the pattern more precise or rename the file"
    )


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("images/{case}.png", ""),
        ("{patient}/*_{slice}.tif", ""),
        ("images/*.png", "found neither {case} nor {patient}, expected one of them to name the cases"),
        ("{slice}.png", "found neither {case} nor {patient}, expected one of them to name the cases"),
        ("{id}.png", "found '{id}', expected the fields {patient}, {case} and {slice}"),
        ("{case.png", "found '{', expected the fields {patient}, {case} and {slice}"),
        ("{}/{case}.png", "found '{}', expected the fields {patient}, {case} and {slice}"),
        ("/data/{case}.png", "found a path that leads out of the folder of the dataset, expected one below it"),
        ("../{case}.png", "found a path that leads out of the folder of the dataset, expected one below it"),
    ],
)
def test_a_pattern_that_cannot_name_cases_is_refused(pattern: str, problem: str) -> None:
    assert NamePattern(pattern).problem() == problem
