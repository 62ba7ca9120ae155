"""Writes the Parquet files of crates/isogain-data/tests/parquet: one small table in every way that data frames are written.

Needs pyarrow and polars; the files are committed, so that the tests do not.
"""

from __future__ import annotations

from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).resolve().parent.parent / "crates/isogain-data/tests/parquet"
ROWS = 300

#: Row i of every file, as the test computes it too.
COLUMNS: dict[str, pa.Array] = {
    "f64": pa.array([i * 0.25 for i in range(ROWS)], pa.float64()),
    "f32": pa.array([i % 7 - 3.5 for i in range(ROWS)], pa.float32()),
    "i32": pa.array([i * 1000 - 5 for i in range(ROWS)], pa.int32()),
    "i64": pa.array([i * i for i in range(ROWS)], pa.int64()),
    "u8": pa.array([i % 256 for i in range(ROWS)], pa.uint8()),
    "u32": pa.array([4_000_000_000 + i for i in range(ROWS)], pa.uint32()),
    "flag": pa.array([i % 3 == 0 for i in range(ROWS)], pa.bool_()),
    "kind": pa.array([("red", "green", "blue")[i % 3] for i in range(ROWS)], pa.string()),
}


def main() -> None:
    """Writes every file."""
    FOLDER.mkdir(exist_ok=True)
    table = pa.table(COLUMNS)
    required = pa.schema([field.with_nullable(False) for field in table.schema])

    def write(name: str, written: pa.Table = table, **options: object) -> None:
        pq.write_table(written, FOLDER / f"{name}.parquet", store_schema=False, **options)

    write("usual")
    write("plain", compression="none", use_dictionary=False)
    write("gzip_v2", compression="gzip", data_page_version="2.0", column_encoding=None)
    write("zstd_groups", compression="zstd", row_group_size=70, data_page_size=200)
    write("required", table.cast(required))
    polars.from_arrow(table).write_parquet(FOLDER / "polars.parquet")
    # What is refused.
    write("brotli", compression="brotli")
    write("delta", use_dictionary=False, column_encoding={"i32": "DELTA_BINARY_PACKED"})
    write("missing", pa.table({"a": pa.array([1.0, None, 3.0]), "y": pa.array([0, 1, 0])}))
    write("nested", pa.table({"a": pa.array([[1.0], [2.0]]), "y": pa.array([0, 1])}))
    write("nan", pa.table({"a": pa.array([1.0, float("nan")]), "y": pa.array([0, 1])}))


if __name__ == "__main__":
    main()
