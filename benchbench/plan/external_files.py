"""The files of an external row: label maps that another tool has predicted, found by the pattern of names."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.errors import DataError
from benchbench.images.label_maps import suffix_of
from benchbench.spec.external import ExternalSpec

_CASE = "{case}"
_FOLD = "{fold}"
_NNUNET = "fold_{fold}/validation"


@dataclass(frozen=True, kw_only=True)
class External:
    """The predictions of an external row for one dataset."""

    spec: ExternalSpec
    pattern: str
    """Path of a prediction with {case} and, where folds have folders or names of their own, {fold}."""

    @property
    def has_folds(self) -> bool:
        """True if each fold has predictions of its own."""
        return _FOLD in self.pattern

    def files(self, fold: int) -> dict[str, list[Path]]:
        """Return the name of each case with its files; several where the pattern does not decide."""
        pattern = self.pattern.replace(_FOLD, str(fold))
        found_by = re.compile(_expression(pattern))
        files: dict[str, list[Path]] = {}
        for path in sorted(glob.glob(_wildcards(pattern))):  # noqa: PTH207 the pattern may be absolute
            match = found_by.fullmatch(Path(path).as_posix())
            if match:
                files.setdefault(match["case"], []).append(Path(path))
        return files

    def resolved(self, fold: int) -> dict[str, Any]:
        """Return what can change a number of the row in a fold: the content of its files, and their labels."""
        digests: dict[str, list[str]] = {}
        for case, paths in self.files(fold).items():
            digests[case] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        content = json.dumps(digests, sort_keys=True).encode()
        resolved = self.spec.model_dump(mode="json", exclude={"name", "predictions", "dataset", "variant"})
        return {**resolved, "files_digest": hashlib.sha256(content).hexdigest()}


def external_of(spec: ExternalSpec, folder: Path, *, dataset: str) -> External:
    """Return the predictions of a row, whose pattern is relative to a folder.

    Raises:
        DataError: the pattern names no case and no folder of nnU-Net.
    """
    pattern = spec.predictions.replace("{dataset}", dataset)
    path = (folder / pattern).as_posix()
    if _CASE not in pattern:
        path = f"{path}/{_NNUNET}/{_CASE}{_nnunet_suffix(spec, Path(path))}"
    return External(spec=spec, pattern=path)


def _nnunet_suffix(spec: ExternalSpec, folder: Path) -> str:
    """Return the suffix of the predictions in fold_*/validation of a model that nnU-Net has trained."""
    for path in sorted(folder.glob("fold_*/validation/*")):
        suffix = suffix_of(path.name)
        if suffix is not None:
            return suffix
    raise DataError(
        f"external.{spec.name}: {folder}: no label map in fold_*/validation, expected the folder of a model that"
        " nnU-Net has trained; give it, or a pattern with {case}"
    )


def _wildcards(pattern: str) -> str:
    """Return the pattern for `glob`; only * is a wildcard of the user."""
    parts = [glob.escape(part) for part in pattern.split("*")]
    return "*".join(parts).replace(_CASE, "*")


def _expression(pattern: str) -> str:
    """Return the regular expression of a path, whose group `case` is the name of the case."""
    text = re.escape(pattern).replace(re.escape("*"), "[^/]*")
    first, *others = text.split(re.escape(_CASE))
    return first + "(?P<case>[^/]+?)" + "(?P=case)".join(others)
