"""Tables for readers, in which a model that all rows have in common has no column."""

from __future__ import annotations

import pandas as pd

from benchbench.tables.references import BACKGROUND, EVERY_VARIANT, UPPER_BOUND
from benchbench.tables.results import Results


def without_single_model(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without its column of models where all rows are variants of one model.

    Reference rows then have their name in the column of variants.
    """
    if len(results.manifest.values_of("model")) > 1 or len(results.manifest.values_of("variant")) < 2:
        return table
    variants = [_label(model, variant) for model, variant in zip(table["model"], table["variant"], strict=True)]
    return table.assign(variant=variants).drop(columns="model")


def _label(model: str, variant: str) -> str:
    if model not in {BACKGROUND, UPPER_BOUND}:
        return variant
    if variant == EVERY_VARIANT:
        return model
    return f"{model} ({variant})"
