"""Conformance checks of a plugin, for the author's own tests and for `benchbench check`.

from benchbench.testing import check_model

def test_my_network_follows_the_rules() -> None:
    check_model(plugin, {"width": 8})
"""

from benchbench.testing.dataset import check_dataset, examine_dataset
from benchbench.testing.extension import check_extension, examine_extension
from benchbench.testing.model import check_model, examine_model
from benchbench.testing.report import ConformanceError, Outcome, Report

__all__ = [
    "ConformanceError",
    "Outcome",
    "Report",
    "check_dataset",
    "check_extension",
    "check_model",
    "examine_dataset",
    "examine_extension",
    "examine_model",
]
