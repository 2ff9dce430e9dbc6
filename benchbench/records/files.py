"""Tables and records as bytes of a file."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


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
