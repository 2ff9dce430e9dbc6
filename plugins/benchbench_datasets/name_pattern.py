"""Patterns of file names with the fields {patient}, {case} and {slice}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from benchbench import DataError

FIELDS = {"patient": r"[^/]+", "case": r"[^/]+", "slice": r"\d+"}
"""Field -> what it can be in a path."""
_TOKEN = re.compile(r"\{(\w*)\}|(\*)|([{}])")


@dataclass(frozen=True)
class NamePattern:
    """A pattern of paths below the folder of a dataset, such as `images/{patient}_{slice}.tif`; * is any text."""

    text: str

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields of the pattern."""
        return frozenset(match[1] for match in _TOKEN.finditer(self.text) if match[1])

    @cached_property
    def literal_length(self) -> int:
        """Number of characters that are neither a field nor a wildcard."""
        return len(_TOKEN.sub("", self.text))

    def problem(self) -> str:
        """Return what is wrong with the pattern; '' if nothing is."""
        for match in _TOKEN.finditer(self.text):
            if match[3] or (not match[2] and match[1] not in FIELDS):
                return f"found '{match[0]}', expected the fields {{patient}}, {{case}} and {{slice}}"
        if not self.fields & {"patient", "case"}:
            return "found neither {case} nor {patient}, expected one of them to name the cases"
        if self.text.startswith("/") or ".." in self.text.split("/"):
            return "found a path that leads out of the folder of the dataset, expected one below it"
        return ""

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the values of the fields in a path; None if the path does not fit.

        Raises:
            DataError: the path fits in two ways.
        """
        shortest = self._shortest.fullmatch(path)
        if shortest is None:
            return None
        longest = self._longest.fullmatch(path)
        assert longest is not None
        values = shortest.groupdict()
        if values != longest.groupdict():
            first, other = (_describe(match.groupdict()) for match in (shortest, longest))
            raise DataError(
                f"{path}: found a name that '{self.text}' reads as {first} and as {other}, expected one way;"
                " make the pattern more precise or rename the file"
            )
        return values

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the path with these values; a wildcard stays."""
        return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), self.text)

    @cached_property
    def _shortest(self) -> re.Pattern[str]:
        return self._compile(lazy="?")

    @cached_property
    def _longest(self) -> re.Pattern[str]:
        return self._compile(lazy="")

    def _compile(self, *, lazy: str) -> re.Pattern[str]:
        """Return the regular expression in which each field is as short (lazy "?") or as long as possible."""
        expression = ""
        end = 0
        known: set[str] = set()
        for match in _TOKEN.finditer(self.text):
            expression += re.escape(self.text[end : match.start()])
            end = match.end()
            field = match[1]
            if match[2]:
                expression += f"[^/]*{lazy}"
            elif field in known:
                expression += f"(?P={field})"
            else:
                expression += f"(?P<{field}>{FIELDS[field]}{lazy})"
                known.add(field)
        return re.compile(expression + re.escape(self.text[end:]))


def _describe(values: Mapping[str, str]) -> str:
    return ", ".join(f"{field} '{value}'" for field, value in values.items())
