"""Values of several models on the same patients: what every statistic is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.errors import IncompatibleError
from benchbench.images.arrays import Floats, Integers


@dataclass(frozen=True, kw_only=True)
class Panel:
    """M models on P patients, ordered by fold; a case scored under several seeds has the mean of its values.

    The patient is the unit: its cases and its seeds stand and fall together.
    """

    models: tuple[str, ...]
    patients: tuple[str, ...]
    folds: Integers
    """(P,) fold of each patient, numbered from 0 without gaps."""
    sums: Floats
    """(M, P) sum over the patient's cases, those that are defined."""
    counts: Floats
    """(M, P) how many those are."""
    is_lower_better: bool = False

    @property
    def means(self) -> Floats:
        """(M,) over all cases."""
        total: Floats = self.sums.sum(1) / self.counts.sum(1)
        return total

    @property
    def patient_means(self) -> Floats:
        """(M, P) mean over each patient's cases."""
        return self.sums / self.counts

    @property
    def fold_means(self) -> Floats:
        """(M, folds)."""
        parts = [self.folds == fold for fold in range(self.n_folds)]
        return np.stack([self.sums[:, part].sum(1) / self.counts[:, part].sum(1) for part in parts], axis=1)

    @property
    def n_folds(self) -> int:
        return int(self.folds[-1]) + 1

    def of(self, models: Sequence[str]) -> Panel:
        """The same of some of the models, in this order."""
        rows = [self.models.index(model) for model in models]
        return Panel(
            models=tuple(models),
            patients=self.patients,
            folds=self.folds,
            sums=self.sums[rows],
            counts=self.counts[rows],
            is_lower_better=self.is_lower_better,
        )


def make_panel(cases: pd.DataFrame, *, is_lower_better: bool = False) -> Panel:
    """A panel of rows with model, fold, seed, patient, case and value; nan stands for a value that is undefined.

    A patient of whom no case is defined is left out, and so are cases that are undefined for every model.

    Raises:
        IncompatibleError: the models differ in cases, in folds or in which cases are defined.
    """
    # a case by a model; sorted, so that the order of the rows does not matter
    found = cases.groupby(["fold", "patient", "case", "model"], sort=True)["value"].agg(["mean", "size"]).unstack()  # noqa: PD010 one a cell
    table, scored = found["mean"], found["size"]
    if len(incomplete := table.index[scored.isna().any(axis=1)]):
        fold, _, case = incomplete[0]
        raise IncompatibleError(
            f"case {case} of fold {fold} and {len(incomplete) - 1} others: not scored for every model in the same"
            " fold; compare models of the same cases and folds"
        )
    if (uneven := table.isna().any(axis=1) & table.notna().any(axis=1)).any():
        raise IncompatibleError(
            f"case {table.index[uneven][0][2]} and {int(uneven.sum()) - 1} others: undefined for some models only;"
            " choose a rule for empty masks, such as 'score', by which all models have the same cases"
        )
    table = table.dropna()
    by_patient = table.groupby(level=["fold", "patient"], sort=True)
    sums, sizes = by_patient.sum(), by_patient.size()
    return Panel(
        models=tuple(map(str, table.columns)),
        patients=tuple(map(str, sums.index.get_level_values("patient"))),
        folds=np.unique(sums.index.get_level_values("fold"), return_inverse=True)[1].astype(np.int64),
        sums=sums.to_numpy(dtype=np.float64).T,
        counts=np.tile(sizes.to_numpy(dtype=np.float64), (len(table.columns), 1)),
        is_lower_better=is_lower_better,
    )
