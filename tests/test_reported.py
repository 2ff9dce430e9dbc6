from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import SpecError
from benchbench.spec.reported import read_reported

TABLE = """document = "D"
dataset = "discs"
protocol = "as in the paper"
[[table]]
benchmark = "b"
tolerance = 0.1
columns = ["model", "dice"]
rows = [["plain", 0.5]]
"""
SHIPPED = Path(__file__).parent.parent / "benchmarks"


def test_a_reported_table_includes_its_document_and_protocol(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(TABLE)
    (table,) = read_reported(tmp_path, "b")
    assert (table.document, table.protocol, table.rows) == ("D", "as in the paper", (("plain", 0.5),))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["plain", 0.5]', '["plain"]', "row 'plain' has 1 cells, expected 2"),
        ("tolerance = 0.1\n", "", "table.0.tolerance: Field required"),
        ("tolerance", "tolerence", "table.0.tolerence: Extra inputs"),
        ("[[table]]", "[[table]", "cannot be read as TOML"),
        ('benchmark = "b"', 'benchmark = "bb"', "no table of benchmark 'b'; did you mean 'bb'"),
    ],
)
def test_an_invalid_reported_file_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "d.toml").write_text(TABLE.replace(old, new))
    with pytest.raises(SpecError, match=message):
        read_reported(tmp_path, "b")


def test_all_shipped_reported_tables_can_be_read() -> None:
    names = {path.stem for path in SHIPPED.glob("*.toml")}
    for name in ("brats20_modalities", "cardiac_separable", "lgg_batch_norm", "brats21_scaling"):
        assert read_reported(SHIPPED / "reported", name)
    assert {"brats20_modalities", "cardiac_separable", "lgg_batch_norm", "lgg_batch_size"} <= names
