from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from handmade_case import keep_slices

from benchbench.engine.batches.sampling import Slices, batch_sizes, ordered_batches, shuffled_batches
from benchbench.engine.preparation.prepared_case import PreparedCase

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def prepared(folder: Path, number: int, *, slices: int, dtype: type = np.uint8) -> PreparedCase:
    image = np.full((slices, 2, 4, 4), 51 * number).astype(dtype)
    return keep_slices(folder / str(number), image, np.full((slices, 4, 4), number, np.uint8))


@pytest.fixture
def cases(tmp_path: Path) -> list[PreparedCase]:
    return [prepared(tmp_path, number, slices=number) for number in (1, 2, 3)]


@pytest.mark.parametrize("name", DEVICES)
def test_slices_of_all_cases_have_one_numbering(cases: list[PreparedCase], name: str) -> None:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    slices = Slices(cases, device=torch.device(name))
    images, labels = slices.batch(torch.tensor([0, 5, 1]))
    assert len(slices) == 6
    assert slices.case_of.tolist() == [0, 1, 1, 2, 2, 2]
    assert labels[:, 0, 0].tolist() == [1, 3, 2]
    assert torch.allclose(images[:, 1, 3, 3].cpu(), torch.tensor([0.2, 0.6, 0.4]))


def test_8_bit_images_are_divided_by_255_and_others_are_unchanged(tmp_path: Path) -> None:
    slices = Slices([prepared(tmp_path, 4, slices=1, dtype=np.float16)], device=torch.device("cpu"))
    assert slices.batch(torch.tensor([0]))[0].unique().tolist() == [204.0]


def test_an_epoch_holds_every_slice_once_in_an_order_of_its_generator() -> None:
    def order(seed: int) -> list[int]:
        batches = list(shuffled_batches(10, batch=4, generator=torch.Generator().manual_seed(seed)))
        assert [len(batch) for batch in batches] == [4, 4, 2]
        return torch.cat(batches).tolist()

    assert sorted(order(0)) == list(range(10))
    assert order(0) == order(0) != order(1)
    assert torch.cat(list(ordered_batches(10, batch=4))).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("length", "batch", "processes", "sizes"),
    [
        (8, 7, 1, [8]),
        (9, 7, 1, [7, 2]),
        (15, 7, 1, [7, 8]),
        (3, 1, 1, [1, 1, 1]),
        (1, 4, 1, [1]),
        (3, 2, 2, [3]),
        (11, 4, 2, [4, 7]),
        (12, 4, 2, [4, 4, 4]),
        (0, 4, 1, []),
    ],
)
def test_a_last_batch_too_small_for_batch_normalisation_is_merged(
    length: int, batch: int, processes: int, sizes: list[int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = list(shuffled_batches(length, batch=batch, generator=generator, processes=processes))
    assert [len(numbers) for numbers in batches] == sizes == batch_sizes(length, batch=batch, processes=processes)
    assert sorted(torch.cat([*batches, torch.tensor([])]).tolist()) == list(range(length))


def test_reading_a_batch_does_not_change_the_cache(cases: list[PreparedCase]) -> None:
    slices = Slices(cases, device=torch.device("cpu"))
    images, labels = slices.batch(torch.tensor([0]))
    images.fill_(9)
    labels.fill_(9)
    assert slices.batch(torch.tensor([0]))[1].unique().tolist() == [1]
    assert cases[0].label().max() == 1
