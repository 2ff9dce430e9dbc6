from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchbench import CaseRef, DataError
from benchbench.data.folds import PARTS, Fold, make_folds

NAMES = st.lists(st.text(min_size=1, max_size=4), min_size=5, max_size=24, unique=True)
FOLDS = st.integers(2, 6)
SHARES = st.floats(0.01, 0.99)


@st.composite
def listings(draw: st.DrawFn) -> list[CaseRef]:
    """Return one to three cases of each patient, in random order."""
    numbers = {patient: draw(st.integers(1, 3)) for patient in draw(NAMES)}
    cases = [CaseRef(f"{patient}/{at}", patient) for patient, count in numbers.items() for at in range(count)]
    return draw(st.permutations(cases))


def patients(fold: Fold, part: str) -> set[str]:
    return {case.patient for case in fold.part(part)}


@given(listings(), FOLDS, SHARES)
def test_every_case_is_in_exactly_one_part_of_every_fold(cases: list[CaseRef], folds: int, share: float) -> None:
    assume(len({case.patient for case in cases}) >= folds)
    for fold in make_folds(cases, folds=folds, validation=share):
        assert Counter(case for part in PARTS for case in fold.part(part)) == Counter(cases)


@given(listings(), FOLDS, SHARES)
def test_no_patient_is_in_two_parts_and_no_part_is_empty(cases: list[CaseRef], folds: int, share: float) -> None:
    assume(len({case.patient for case in cases}) >= folds)
    for fold in make_folds(cases, folds=folds, validation=share):
        train, validation, test = (patients(fold, part) for part in PARTS)
        assert train.isdisjoint(validation)
        assert train.isdisjoint(test)
        assert validation.isdisjoint(test)
        assert min(map(len, (train, validation, test))) > 0


@given(listings(), FOLDS)
def test_every_patient_is_tested_once_in_folds_of_nearly_equal_size(cases: list[CaseRef], folds: int) -> None:
    assume(len({case.patient for case in cases}) >= folds)
    tested = [patients(fold, "test") for fold in make_folds(cases, folds=folds, validation=0.2)]
    assert Counter(patient for part in tested for patient in part) == Counter({case.patient for case in cases})
    sizes = [len(part) for part in tested]
    assert max(sizes) - min(sizes) <= 1


@given(listings(), st.randoms(use_true_random=False))
def test_the_order_of_the_cases_does_not_matter(cases: list[CaseRef], random: object) -> None:
    shuffled = list(cases)
    random.shuffle(shuffled)
    assert make_folds(shuffled, folds=3, validation=0.2) == make_folds(cases, folds=3, validation=0.2)


@given(NAMES, FOLDS)
def test_an_added_patient_moves_fewer_patients_than_there_are_folds(names: list[str], folds: int) -> None:
    assume(len(names) > folds)
    cases = [CaseRef(name, name) for name in names]

    def tested_in(listed: list[CaseRef]) -> dict[str, int]:
        made = make_folds(listed, folds=folds, validation=0.2)
        return {case.id: fold.number for fold in made for case in fold.test}

    before, after = tested_in(cases[1:]), tested_in(cases)
    assert sum(before[name] != after[name] for name in before) < folds


@pytest.mark.parametrize(
    ("count", "share", "validated"),
    [(10, 0.2, 2), (10, 0.25, 2), (10, 0.3, 2), (10, 0.01, 1), (10, 0.99, 7), (4, 0.2, 1), (4, 0.9, 1)],
)
def test_the_validation_fraction_is_rounded_and_leaves_a_patient_in_each_part(
    count: int, share: float, validated: int
) -> None:
    cases = [CaseRef(str(number), str(number)) for number in range(count)]
    # with 10 patients in 5 folds, 8 are not tested; with 4 in 2 folds, 2
    folds = 5 if count == 10 else 2
    for fold in make_folds(cases, folds=folds, validation=share):
        assert len(fold.validation) == validated


def test_folds_do_not_change_between_releases() -> None:
    cases = [CaseRef(f"{patient}-{scan}", patient) for patient in "abcdef" for scan in (1, 2)]
    folds = make_folds(cases, folds=3, validation=0.3)
    # by SHA-256 of "test\n" and the name, the order of the patients is f b c a e d
    assert [sorted(patients(fold, "test")) for fold in folds] == [["b", "f"], ["a", "c"], ["d", "e"]]
    # by SHA-256 of "validation", number and name, these come first among the four that are left
    assert [sorted(patients(fold, "validation")) for fold in folds] == [["c"], ["f"], ["c"]]
    assert [fold.digest[:16] for fold in folds] == ["e6a973960a2f8e1d", "367c7163b751fbb5", "408b39f69be466f0"]


def test_the_digest_depends_on_the_part_of_every_case() -> None:
    one, two, three = CaseRef("1", "a"), CaseRef("2", "b"), CaseRef("3", "c")
    fold = Fold(number=0, train=(one,), validation=(two,), test=(three,))
    assert fold.digest != Fold(number=0, train=(two,), validation=(one,), test=(three,)).digest
    assert fold.digest == Fold(number=0, train=(one,), validation=(two,), test=(three,)).digest


@pytest.mark.parametrize(
    ("count", "folds", "enough"), [(0, 2, None), (1, 2, None), (2, 2, None), (3, 2, 3), (4, 5, 4), (3, 9, 3)]
)
def test_too_few_patients_are_refused_with_what_is_enough(count: int, folds: int, enough: int | None) -> None:
    cases = [CaseRef(f"{number}-{scan}", str(number)) for number in range(count) for scan in range(9)]
    remedy = "add patients" if enough is None else f"set protocol.folds to {enough} or add patients"
    with pytest.raises(DataError, match=rf"found {count} patients? for {folds} folds; .*: {remedy}$"):
        make_folds(cases, folds=folds, validation=0.2)
    if enough is not None:
        assert len(make_folds(cases, folds=enough, validation=0.2)) == enough


def test_a_hold_out_split_has_the_parts_that_are_asked_for_and_whole_patients() -> None:
    cases = [CaseRef(f"{patient}-{scan}", str(patient)) for patient in range(100) for scan in (1, 2)]
    (fold,) = make_folds(cases, folds=1, validation=0.2, test=0.1)
    assert [len(patients(fold, part)) for part in PARTS] == [72, 18, 10]
    assert len(fold.test) == 20
    # the tested patients are the first of the order that cross-validation cuts into folds
    assert patients(fold, "test") == patients(make_folds(cases, folds=10, validation=0.2)[0], "test")


@pytest.mark.parametrize(("count", "test"), [(2, 0.5), (4, 0.9)])
def test_a_hold_out_split_of_too_few_patients_is_refused(count: int, test: float) -> None:
    cases = [CaseRef(str(number), str(number)) for number in range(count)]
    with pytest.raises(
        DataError, match=rf"found {count} patients, of which protocol.test takes {test}; .* change"
    ):
        make_folds(cases, folds=1, validation=0.2, test=test)


@pytest.mark.parametrize(("count", "folds"), [(4, 2), (3, 3)])
def test_one_patient_per_part_is_enough(count: int, folds: int) -> None:
    cases = [CaseRef(str(number), str(number)) for number in range(count)]
    made = make_folds(cases, folds=folds, validation=0.2)
    assert [(len(fold.train), len(fold.validation)) for fold in made] == [(1, 1)] * folds


def test_a_case_listed_twice_is_named() -> None:
    cases = [CaseRef(name, patient) for name, patient in (("1", "a"), ("2", "b"), ("1", "c"), ("3", "d"))]
    with pytest.raises(DataError, match="case '1' is listed twice; every case needs an id of its own"):
        make_folds(cases, folds=2, validation=0.2)


@pytest.mark.parametrize(("folds", "test"), [(4, None), (1, 0.25)])
def test_every_part_has_its_share_of_every_stratum(folds: int, test: float | None) -> None:
    cases = [CaseRef(f"p{number}", f"p{number}") for number in range(40)]
    strata = {case.patient: "A" if number < 32 else "B" for number, case in enumerate(cases)}
    made = make_folds(cases, folds=folds, validation=0.2, test=test, strata=strata)
    assert len(made) == folds
    for fold in made:
        of_b = {part: sum(strata[case.patient] == "B" for case in fold.part(part)) for part in PARTS}
        # 8 of 40 patients: 2 of the 10 tested, 1 of the 6 of the inner validation, the others are trained on
        assert (len(fold.test), len(fold.validation), of_b["test"]) == (10, 6, 2)
        assert of_b["validation"] in {1, 2}
    if folds > 1:
        tested = [case for fold in made for case in fold.test]
        assert sorted(tested) == sorted(cases)


def test_a_column_that_the_metadata_lack_is_refused() -> None:
    from benchbench import DataError
    from benchbench.data.split_file import folds_of
    from benchbench.spec.protocol import Protocol

    fields = {"patch": (32, 32), "epochs": 1, "batch": 4, "loss": "dice", "optimizer": {"name": "adam", "lr": 0.1}}
    protocol = Protocol.model_validate({**fields, "folds": 2, "stratify": "site"})
    cases = [CaseRef(f"p{number}", f"p{number}") for number in range(8)]
    rows = {case.patient: {"site": "AB"[number % 2]} for number, case in enumerate(cases)}
    for fold in folds_of(cases, protocol, rows):
        assert {rows[case.patient]["site"] for case in fold.test} == {"A", "B"}
    with pytest.raises(DataError, match=r"protocol\.stratify: no column 'site'.*did you mean 'sites'"):
        folds_of(cases, protocol, {"p0": {"sites": "A"}})
    with pytest.raises(DataError, match="it has no metadata; leave stratify out"):
        folds_of(cases, protocol)
