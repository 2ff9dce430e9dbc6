from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

EVIDENCE = Path(__file__).parent.parent / "benchmarks" / "evidence"


@pytest.mark.parametrize(("seed_sd", "correlation", "share"), [(0.0, 0.75, 0.0), (0.02, 0.375, 0.5)])
def test_the_correlation_of_folds_is_that_of_their_patients(
    monkeypatch: pytest.MonkeyPatch, seed_sd: float, correlation: float, share: float
) -> None:
    monkeypatch.syspath_prepend(str(EVIDENCE))
    from fold_correlation import SETS, draw_design, summarise

    generator = np.random.default_rng(0)
    rows: list[list[float]] = []
    for _ in range(4000):
        design = draw_design(22, generator)
        assert not set(design.tested) & {patient for name in SETS for patient in design.trained[name]}
        effects = generator.normal(0, 0.02 * 8**0.5, 22)  # of each training patient; a mean of 8 has an SD of 0.02
        rows.append([effects[list(design.trained[name])].mean() + generator.normal(0, seed_sd) for name in SETS])
    measured = summarise(np.array(rows))
    assert measured[0] == pytest.approx(correlation, abs=0.03)
    assert measured[1] == pytest.approx(share, abs=0.03)
