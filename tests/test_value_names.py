from __future__ import annotations

import pytest

from benchbench.spec.value_names import check_value, split_percent


@pytest.mark.parametrize(
    "name",
    [
        *("dice", "iou_slice", "accuracy_pooled", "hd95", "nsd@2", "dice:oedema", "accuracy_percent"),
        *("train_loss", "validation_loss", "train_dice_pooled:oedema", "validation_iou_case", "test_dice_classes"),
        *(
            "test_cross_entropy:background",
            "parameters",
            "parameters_with_statistics",
            "best_epoch",
            "input",
            "output",
        ),
    ],
)
def test_every_value_of_a_run_is_a_known_name(name: str) -> None:
    check_value(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dise", "did you mean 'dice'"),
        ("train_los", "did you mean 'train_loss'"),
        ("train_dice_case", "no such value 'train_dice_case'"),
        ("hd95_pooled_slice", "no such value"),
        ("test_loss", "no such value"),
    ],
)
def test_an_unknown_value_name_is_refused_with_the_nearest_known_one(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        check_value(name)


def test_a_percentage_is_the_value_times_one_hundred() -> None:
    assert split_percent("accuracy_percent:oedema") == ("accuracy:oedema", 100.0)
    assert split_percent("accuracy") == ("accuracy", 1.0)
