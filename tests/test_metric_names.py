from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from benchbench.spec.metric_names import Metric, is_lower_better, is_overlap, parse_metric, parse_metrics


@pytest.mark.parametrize("name", ["dice", "accuracy", "hd", "hd95_pooled", "assd"])
def test_a_metric_without_parameter_is_parsed(name: str) -> None:
    assert parse_metric(name) == (name, None, None)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("nsd@2", 2), ("nsd_voxel@0.5", 0.5), ("nsd@.25", 0.25), ("nsd@0", 0)]
)
def test_the_tolerance_of_a_surface_overlap_follows_the_at_sign(name: str, tolerance: float) -> None:
    assert parse_metric(name) == (name.partition("@")[0], tolerance, None)


@pytest.mark.parametrize("name", ["lesion_dice@gli", "lesion_hd95@men-rt"])
def test_the_challenge_of_a_lesion_score_follows_the_at_sign(name: str) -> None:
    kind, _, challenge = name.partition("@")
    assert parse_metric(name) == (kind, None, challenge)
    assert str(parse_metric(name)) == name
    assert not is_overlap(name)


def test_higher_lesion_dice_and_lower_lesion_distance_are_better() -> None:
    names = ["lesion_dice@gli", "lesion_dice@gli_mm", "lesion_hd95@met", "lesion_hd95@met_px", "nsd@2_mm"]
    assert list(map(is_lower_better, names)) == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hd96", r"no such metric 'hd96'; did you mean 'hd95'\?"),
        ("HD95", "no such metric 'HD95'"),
        ("", "no such metric ''; known: dice, iou"),
        ("nsd", "'nsd' has no tolerance; write it in mm after an @, like 'nsd@2'"),
        ("nsd@", "'nsd@': found tolerance '', expected a number of mm, like 'nsd@2'"),
        ("nsd@-1", "found tolerance '-1'"),
        ("nsd@nan", "found tolerance 'nan'"),
        ("nsd@2mm", "found tolerance '2mm'"),
        ("hd95@2", "'hd95@2': hd95 has no tolerance; write 'hd95'"),
        ("dice@1", "dice has no tolerance"),
        ("lesion_dice", "names no challenge; write whose rules apply after an @, like 'lesion_dice@gli'"),
        ("lesion_hd95@glo", r"'lesion_hd95@glo': no such challenge 'glo'; did you mean 'gli'\?"),
    ],
)
def test_an_invalid_metric_name_is_explained(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_metric(name)


def test_all_invalid_metric_names_are_reported_together() -> None:
    with pytest.raises(ValueError, match=r"'dcie'.*did you mean 'dice'.*'nsd' has no tolerance"):
        parse_metrics(["dcie", "iou", "nsd"])


def test_different_spellings_of_a_tolerance_become_one_name() -> None:
    names = TypeAdapter(tuple[Metric, ...])
    assert names.validate_python(("nsd@2.0", "nsd_voxel@01.50", "dice")) == ("nsd@2", "nsd_voxel@1.5", "dice")
    with pytest.raises(ValidationError, match="no such metric 'dize'"):
        names.validate_python(("dize",))


def test_lower_is_better_for_distances_in_any_unit() -> None:
    lower = [name for name in ("hd95", "hd95_mm", "masd_px", "hd95_pooled_mm") if is_lower_better(name)]
    assert lower == ["hd95", "hd95_mm", "masd_px", "hd95_pooled_mm"]
    assert not any(map(is_lower_better, ("dice", "nsd@2", "nsd@2_mm", "nsd_voxel@1_px")))
    assert is_overlap("dice")
    assert not is_overlap("hd95")
