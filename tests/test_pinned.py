from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbench import Case, DataError, Dataset
from benchbench.data.case_checks import load_case
from benchbench.data.pinned import pin


@pytest.fixture
def opened(squares: Path) -> Dataset:
    from toy_plugin import Squares

    dataset: Dataset = Squares(squares / "squares")
    return dataset


def test_an_unchanged_dataset_is_read_normally(opened: Dataset) -> None:
    cases = opened.cases()
    pinned = pin(opened, cases)
    assert (pinned.task, pinned.cases(), pinned.metadata()) == (opened.task, cases, {})
    for case in cases:
        assert pinned.files(case.id) == opened.files(case.id)
        assert np.array_equal(pinned.load(case.id).image, opened.load(case.id).image)


def test_a_file_changed_after_its_digest_is_not_loaded(opened: Dataset, squares: Path) -> None:
    pinned = pin(opened, opened.cases())
    first, second = (squares / "squares" / f"patient0{number}-a.npz" for number in (0, 1))
    first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=r"patient00-a: found patient00-a\.npz changed since the start"):
        load_case(pinned, "patient00-a")
    load_case(pinned, "patient01-a")


@dataclass(frozen=True)
class Hasty:
    """Its files change while it reads them."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def load(self, case_id: str) -> Case:
        case: Case = self.inner.load(case_id)
        os.utime(self.inner.files(case_id)[0], ns=(5, 5))
        return case


def test_a_file_changed_while_it_is_read_is_refused(opened: Dataset) -> None:
    pinned = pin(Hasty(opened), opened.cases())
    with pytest.raises(DataError, match="changed since the start"):
        pinned.load("patient00-a")


def test_a_file_missing_from_the_start_is_named(opened: Dataset, squares: Path) -> None:
    cases = opened.cases()
    (squares / "squares" / "patient00-a.npz").unlink()
    with pytest.raises(DataError, match=r"patient00-a\.npz"):
        pin(opened, cases).load("patient00-a")
