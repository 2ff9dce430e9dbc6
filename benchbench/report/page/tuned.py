"""The budget of [tune], what was spent of it, and the chosen settings, as tables of the page."""

from __future__ import annotations

from benchbench.report.page.cells import PageTable, table_of, without_constants
from benchbench.tables.results import Results
from benchbench.tables.tuning import spent_table


def tuned_tables(results: Results) -> list[PageTable]:
    """Return a table for each dataset with tuned rows: a line for each of their runs."""
    tables = []
    for dataset in results.manifest.datasets:
        table = spent_table(results, dataset)
        if table.empty:
            continue
        caption = f"Tuning on the inner validation of {dataset}"
        budgets = list(dict.fromkeys(table["budget"]))
        if len(budgets) == 1:
            caption += f": {budgets[0]} for each run"
        if not table["failed"].any():
            table = table.drop(columns="failed")
        table = without_constants(table.drop(columns="dataset"), ["variant", "seed", "budget"])
        table["trial_seconds"] = table["trial_seconds"].round().astype(int)
        tables.append(table_of(table, caption=caption))
    return tables
