"""Names of folders, and tables and records as bytes of a file."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_NAME = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any suffix."""


def slug(label: str) -> str:
    """Return a label as a file name, with a hash added where characters were replaced."""
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", label).strip(".")[:_LONGEST_NAME]
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe and safe == label:
        return safe
    return f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file; the same table gives the same bytes."""
    import pyarrow.parquet as pq  # noqa: PLC0415 half a second that listing and planning do not pay

    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return a JSON file; numbers that JSON cannot express are null."""
    return (json.dumps(_json_values(content), indent=1, allow_nan=False) + "\n").encode()


def _json_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
