from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from benchbench.spec.metric_names import Metric, is_lower_better, is_overlap, parse_metric, parse_metrics


@pytest.mark.parametrize("name", ["dice", "accuracy", "hd", "hd95_pooled", "assd"])
def test_most_metrics_are_a_name(name: str) -> None:
    assert parse_metric(name) == (name, None, None)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("nsd@2", 2), ("nsd_voxel@0.5", 0.5), ("nsd@.25", 0.25), ("nsd@0", 0)]
)
def test_a_surface_overlap_has_its_tolerance_behind_an_at(name: str, tolerance: float) -> None:
    assert parse_metric(name) == (name.partition("@")[0], tolerance, None)


@pytest.mark.parametrize("name", ["lesion_dice@gli", "lesion_hd95@men-rt"])
def test_a_score_of_lesions_has_its_challenge_behind_an_at(name: str) -> None:
    kind, _, challenge = name.partition("@")
    assert parse_metric(name) == (kind, None, challenge)
    assert str(parse_metric(name)) == name
    assert not is_overlap(name)


def test_of_lesions_more_dice_is_better_and_less_distance() -> None:
    names = ["lesion_dice@gli", "lesion_dice@gli_mm", "lesion_hd95@met", "lesion_hd95@met_px", "nsd@2_mm"]
    assert list(map(is_lower_better, names)) == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hd96", r"no such metric 'hd96'; did you mean 'hd95'\?"),
        ("HD95", "no such metric 'HD95'"),
        ("", "no such metric ''; known: dice, iou"),
        ("nsd", "'nsd' says no tolerance; write it in mm behind an @, like 'nsd@2'"),
        ("nsd@", "'nsd@': found tolerance '', expected a number of mm, like 'nsd@2'"),
        ("nsd@-1", "found tolerance '-1'"),
        ("nsd@nan", "found tolerance 'nan'"),
        ("nsd@2mm", "found tolerance '2mm'"),
        ("hd95@2", "'hd95@2': hd95 has no tolerance; write 'hd95'"),
        ("dice@1", "dice has no tolerance"),
        ("lesion_dice", "says no challenge; write whose lesions are scored behind an @, like 'lesion_dice@gli'"),
        ("lesion_hd95@glo", r"'lesion_hd95@glo': no such challenge 'glo'; did you mean 'gli'\?"),
    ],
)
def test_a_name_that_is_none_is_explained(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_metric(name)


def test_every_wrong_name_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"'dcie'.*did you mean 'dice'.*'nsd' says no tolerance"):
        parse_metrics(["dcie", "iou", "nsd"])


def test_a_file_may_write_a_tolerance_as_it_likes_and_gets_one_name() -> None:
    names = TypeAdapter(tuple[Metric, ...])
    assert names.validate_python(("nsd@2.0", "nsd_voxel@01.50", "dice")) == ("nsd@2", "nsd_voxel@1.5", "dice")
    with pytest.raises(ValidationError, match="no such metric 'dize'"):
        names.validate_python(("dize",))


def test_less_is_better_of_distances_alone_in_whatever_unit() -> None:
    lower = [name for name in ("hd95", "hd95_mm", "masd_px", "hd95_pooled_mm") if is_lower_better(name)]
    assert lower == ["hd95", "hd95_mm", "masd_px", "hd95_pooled_mm"]
    assert not any(map(is_lower_better, ("dice", "nsd@2", "nsd@2_mm", "nsd_voxel@1_px")))
    assert is_overlap("dice")
    assert not is_overlap("hd95")
