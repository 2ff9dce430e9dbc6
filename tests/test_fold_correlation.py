from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

EVIDENCE = Path(__file__).parent.parent / "benchmarks" / "evidence"
GROUPS, FOLDS, SIZE = 3, 5, 10


@pytest.mark.parametrize(("seed_sd", "correlation", "share"), [(0.0, 0.75, 0.0), (0.02, 0.375, 0.5)])
def test_the_correlation_of_folds_is_that_of_their_patients(
    monkeypatch: pytest.MonkeyPatch, seed_sd: float, correlation: float, share: float
) -> None:
    """The effect of a training set is the mean of its patients', of whom two folds share three quarters."""
    monkeypatch.syspath_prepend(str(EVIDENCE))
    import fold_correlation

    generator = np.random.default_rng(0)
    shape = (2000, GROUPS, FOLDS, SIZE // FOLDS)
    effects = generator.normal(0, 0.02 * 8**0.5, shape).sum(axis=3)  # a mean of 8 patients has an SD of 0.02
    trained = (effects.sum(axis=2, keepdims=True) - effects) / 8
    scores = trained + generator.normal(0, seed_sd, trained.shape)
    again = trained[:, :, 0] + generator.normal(0, seed_sd, trained.shape[:2])
    assert fold_correlation.correlation(scores) == pytest.approx(correlation, abs=0.03)
    assert fold_correlation.share_of_seed(scores, again) == pytest.approx(share, abs=0.03)


def test_a_group_is_trained_without_the_tested_patients_and_a_stopped_file_is_continued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(EVIDENCE))
    import fold_correlation

    seen: list[tuple[set[int], set[int]]] = []

    def remember(down: str, trained: list[int], tested: list[int], *, seed: int) -> float:
        del down, seed
        seen.append((set(trained), set(tested)))
        return 0.5

    monkeypatch.setattr(fold_correlation, "train_and_test", remember)
    design = fold_correlation.Design(groups=3, folds=5, size=5)
    replicate = fold_correlation.measure_replicate(0, list(range(22)), design)
    assert replicate.dice.shape == (2, 3, 5)
    assert {(len(trained), len(tested)) for trained, tested in seen} == {(4, 7)}
    assert len({frozenset(trained) for trained, _ in seen}) == 15
    assert all(not trained & tested for trained, tested in seen)
    path = tmp_path / "dice.csv"
    fold_correlation._write_header(path, design)
    assert fold_correlation.read_replicates(path, design) == []
    fold_correlation._write_replicate(path, 0, replicate, design)
    (continued,) = fold_correlation.read_replicates(path, design)
    for other in ({"groups": 2}, {"folds": 4}, {"size": 6}):
        with pytest.raises(SystemExit, match="has 3 groups of 5 patients in 5 folds, not"):
            fold_correlation.read_replicates(path, design._replace(**other))
    assert np.array_equal(continued.dice, replicate.dice)
    assert np.array_equal(continued.again, replicate.again)
