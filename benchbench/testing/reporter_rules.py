"""Rules for a reporter; nothing is sent to its tracker."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from benchbench.contract import ReporterPlugin
from benchbench.testing.extension_candidate import SHARED, ExtensionCandidate
from benchbench.testing.report import Rule, fault


def signature_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    assert isinstance(candidate.plugin, ReporterPlugin), "the rules are those of reporters"
    try:
        inspect.signature(candidate.plugin.open).bind("lgg/unet/default/fold0/seed0", {"fold": 0})
    except TypeError as error:
        yield fault(f"open: {error}", "open(run, settings)", "take the key of the run and its settings")


def method_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    returned = inspect.signature(candidate.plugin.open, eval_str=True).return_annotation  # type: ignore[union-attr]
    for name in ("epoch", "end"):
        if not callable(getattr(returned, name, None)):
            finding = f"open is annotated to return {getattr(returned, '__name__', returned)} without {name}()"
            yield fault(finding, "a class with epoch() and end()", "annotate and define it")


RULES = (
    Rule("signature", "open takes a run and its settings", signature_faults),
    Rule("methods", "what open returns has epoch and end", method_faults),
    *SHARED,
)
