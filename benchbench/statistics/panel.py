"""Values of several models on the same patients, from which every statistic is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchbench.errors import IncompatibleError
from benchbench.images.arrays import Floats, Integers

EQUAL_DIGITS = 9
"""Decimals to which scores are compared: values that differ by rounding errors only are equal."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Values of M models on P patients, ordered by fold; a case scored under several seeds has their mean value.

    The patient is the unit of all statistics: its cases and seeds are always used together.
    """

    models: tuple[str, ...]
    patients: tuple[str, ...]
    folds: Integers
    """(P,) fold of each patient, numbered from 0 without gaps."""
    sums: Floats
    """(M, P) sum of the values of the patient's cases that are defined."""
    counts: Floats
    """(M, P) number of those cases."""
    is_lower_better: bool = False
    """True for metrics such as distances."""
    by_seed: Floats | None = None
    """(S, M, P) sums under each seed; None where patients are not scored under the same number of seeds."""

    @property
    def seed_sums(self) -> Floats:
        """(S, M, P) sums under each seed, or (1, M, P) sums of the means over seeds."""
        if self.by_seed is None:
            return self.sums[None]
        return self.by_seed

    @property
    def means(self) -> Floats:
        """(M,) means over all cases."""
        total: Floats = self.sums.sum(1) / self.counts.sum(1)
        return total

    @property
    def patient_means(self) -> Floats:
        """(M, P) means over each patient's cases."""
        return self.sums / self.counts

    @property
    def fold_means(self) -> Floats:
        """(M, folds) means over the cases of each fold."""
        means: list[Floats] = []
        for fold in range(self.n_folds):
            is_in_fold = self.folds == fold
            sums, counts = self.sums[:, is_in_fold], self.counts[:, is_in_fold]
            means.append(sums.sum(1) / counts.sum(1))
        return np.stack(means, axis=1)

    @property
    def n_folds(self) -> int:
        return int(self.folds[-1]) + 1

    def of(self, models: Sequence[str]) -> Panel:
        """Return the panel of some of the models, in this order."""
        rows = [self.models.index(model) for model in models]
        by_seed = None if self.by_seed is None else self.by_seed[:, rows]
        sums, counts = self.sums[rows], self.counts[rows]
        return replace(self, models=tuple(models), sums=sums, counts=counts, by_seed=by_seed)


def make_panel(cases: pd.DataFrame, *, is_lower_better: bool = False) -> Panel:
    """Return the panel of a table with the columns model, fold, seed, patient, case and value.

    A value of nan is undefined. Cases that are undefined for every model are left out, and so is a patient without
    a defined case.

    Raises:
        IncompatibleError: the models differ in cases, in folds or in which cases are defined.
    """
    # one row per case and one column per model; sorting makes the order of the rows irrelevant
    groups = cases.groupby(["fold", "patient", "case", "model"], sort=True)["value"]
    table = groups.agg(["mean", "size"]).unstack()  # noqa: PD010 one value a cell
    means, sizes = table["mean"], table["size"]
    _check_same_cases(means, sizes)
    means = means.dropna()
    by_patient = means.groupby(level=["fold", "patient"], sort=True)
    sums = by_patient.sum()
    n_cases = by_patient.size().to_numpy(dtype=np.float64)
    _, folds = np.unique(sums.index.get_level_values("fold"), return_inverse=True)
    return Panel(
        models=tuple(map(str, means.columns)),
        patients=tuple(map(str, sums.index.get_level_values("patient"))),
        folds=folds.astype(np.int64),
        sums=sums.to_numpy(dtype=np.float64).T,
        counts=np.tile(n_cases, (len(means.columns), 1)),
        is_lower_better=is_lower_better,
        by_seed=_sums_by_seed(cases, means.index, list(means.columns)),
    )


def _sums_by_seed(cases: pd.DataFrame, defined: pd.Index, models: Sequence[str]) -> Floats | None:
    """Return (S, M, P) sums under each seed; None with a single seed, or where their number differs between runs.

    The first seed of one model is compared with the first of another, and so on: seeds of different models have
    nothing in common, so that any order of them would do.
    """
    seeds_of_run = cases.groupby(["model", "fold"], sort=True)["seed"]
    n_seeds = int(seeds_of_run.nunique().min())
    if n_seeds < 2 or n_seeds != int(seeds_of_run.nunique().max()):
        return None
    place = seeds_of_run.rank(method="dense").astype(int)
    keys = ["fold", "patient", "case"]
    values = cases.assign(place=place).pivot_table(index=keys, columns=["place", "model"], values="value")
    by_patient = values.loc[defined].groupby(level=["fold", "patient"], sort=True).sum(min_count=1)
    if by_patient.isna().to_numpy().any():
        return None
    columns = pd.MultiIndex.from_product([range(1, n_seeds + 1), models])
    sums = by_patient[columns].to_numpy(dtype=np.float64)
    by_seed: Floats = sums.T.reshape(n_seeds, len(models), -1)
    return by_seed


def _check_same_cases(means: pd.DataFrame, sizes: pd.DataFrame) -> None:
    missing = means.index[sizes.isna().any(axis=1)]
    if len(missing):
        fold, _, case = missing[0]
        raise IncompatibleError(
            f"case {case} of fold {fold} and {len(missing) - 1} others: not scored for every model in the same"
            " fold; compare models of the same cases and folds"
        )
    is_undefined = means.isna()
    uneven = means.index[is_undefined.any(axis=1) & ~is_undefined.all(axis=1)]
    if len(uneven):
        _, _, case = uneven[0]
        raise IncompatibleError(
            f"case {case} and {len(uneven) - 1} others: undefined for some models only;"
            " choose a rule for empty masks, such as 'score', by which all models have the same cases"
        )
