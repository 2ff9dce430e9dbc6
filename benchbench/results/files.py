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


def slug(label: str) -> str:
    """A label as a folder name, with a hash where letters had to go."""
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "_", label).strip(".")[:60]
    return safe if safe == label else f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def parquet_bytes(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq  # noqa: PLC0415 half a second that listing and planning do not pay

    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(_plain(content), indent=1, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    """JSON's own types; a number that JSON cannot say becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
