"""Deterministic Parquet: the same rows give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_PER_GROUP = 64 * 1024


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table with this schema; ValueError for a column it does not have."""
    known = set(schema.names)
    for row in rows:
        if not known.issuperset(row):
            raise ValueError(f"unknown columns: {sorted(set(row) - known)}")
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    table.validate(full=True)
    return table


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet, with fixed compression and row groups and no timestamps."""
    for field, column in zip(table.schema, table.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(f"column {field.name!r} has {column.null_count} nulls, its schema allows none")
    buffer = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        buffer,
        row_group_size=_ROWS_PER_GROUP,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
    )
    return buffer.getvalue()


def parquet_table(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in these bytes, with all columns or those named.

    Read by this thread alone: if one of Arrow's threads still holds Python's bytes when the interpreter ends,
    the process is aborted (apache/arrow issue 34314).
    """
    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    return file.read(columns=columns and list(columns), use_threads=False)
