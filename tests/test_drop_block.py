"""DropBlock on maps whose dropped blocks can be counted."""

from __future__ import annotations

import pytest
import torch

from benchbench_models.drop_block import DropBlock


def at_full_rate(rate: float) -> DropBlock:
    layer = DropBlock(rate, steps=1)
    layer.taken.fill_(1)
    return layer


def test_in_evaluation_nothing_is_dropped_and_no_step_is_counted() -> None:
    layer = at_full_rate(0.9).eval()
    x = torch.rand(2, 3, 16, 16)
    assert layer(x) is x
    assert layer.taken == 1


def test_a_step_is_a_training_pass_that_records_gradients() -> None:
    layer = DropBlock(0.1, steps=10)
    x = torch.rand(1, 2, 8, 8)
    layer(x)
    with torch.no_grad():
        layer(x)
    layer.eval()(x)
    layer.train()(x)
    assert layer.taken == 2


@pytest.mark.parametrize(("taken", "share"), [(0, 0.0), (25, 0.05), (50, 0.1), (100, 0.2), (900, 0.2)])
def test_the_dropped_share_rises_linearly_with_the_steps_to_the_rate(taken: int, share: float) -> None:
    torch.manual_seed(0)
    layer = DropBlock(0.2, steps=100)
    layer.taken.fill_(taken)
    dropped = (layer(torch.ones(8, 32, 48, 48)) == 0).float().mean().item()
    # blocks may overlap, so that a little less is dropped
    assert share * 0.85 <= dropped <= share


def test_blocks_of_five_a_side_are_dropped_differently_in_every_channel() -> None:
    torch.manual_seed(1)
    dropped = at_full_rate(0.03)(torch.ones(1, 40, 12, 12))[0] == 0
    sizes = [channel.sum().item() for channel in dropped]
    assert len(set(sizes)) > 1
    single = [channel for channel, size in zip(dropped, sizes, strict=True) if size == 25]
    assert single
    for channel in single:
        rows, columns = channel.any(1).nonzero().flatten(), channel.any(0).nonzero().flatten()
        assert len(rows) == len(columns) == 5
        assert rows[-1] - rows[0] == columns[-1] - columns[0] == 4


def test_a_block_of_a_volume_is_a_cube() -> None:
    torch.manual_seed(0)
    dropped = at_full_rate(0.02)(torch.ones(1, 60, 9, 9, 9))[0] == 0
    assert 125 in {channel.sum().item() for channel in dropped}


def test_the_remaining_voxels_are_scaled_up_to_the_same_mean() -> None:
    torch.manual_seed(0)
    output = at_full_rate(0.3)(torch.ones(2, 8, 32, 32))
    assert output.mean().item() == pytest.approx(1)
    assert len(output.unique()) == 2


@pytest.mark.parametrize("space", [(4, 4, 4), (2, 1), (1, 1)])
def test_a_map_smaller_than_a_block_loses_whole_channels_at_the_rate(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    is_kept = at_full_rate(0.25)(torch.ones(40, 100, *space)).flatten(2) > 0
    assert torch.equal(is_kept.any(2), is_kept.all(2))
    assert 1 - is_kept.float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_a_map_that_is_dropped_entirely_is_zero_and_not_nan() -> None:
    torch.manual_seed(0)
    assert not at_full_rate(0.999999)(torch.ones(1, 1, 5, 5)).any()


def test_half_precision_stays_half_and_voxels_are_counted_correctly() -> None:
    torch.manual_seed(0)
    output = at_full_rate(0.1)(torch.ones(1, 8, 64, 64, 64, dtype=torch.float16))
    assert output.dtype == torch.float16
    assert output.float().mean().item() == pytest.approx(1, abs=1e-3)


def test_the_steps_are_part_of_the_state() -> None:
    layer = DropBlock(0.1, steps=10)
    for _ in range(3):
        layer(torch.rand(1, 1, 8, 8))
    resumed = DropBlock(0.1, steps=10)
    resumed.load_state_dict(layer.state_dict())
    assert resumed.taken == 3


def test_no_gradient_flows_into_a_dropped_block() -> None:
    torch.manual_seed(0)
    x = torch.ones(1, 4, 16, 16, requires_grad=True)
    output = at_full_rate(0.3)(x)
    output.sum().backward()
    assert torch.equal(x.grad, output.detach())
