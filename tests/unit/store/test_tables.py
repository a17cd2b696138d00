"""Parquet in bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from data.schemas import SCHEMAS
from infra.store.tables import parquet_bytes, parquet_table, table_of
from tests.support.artifact_samples import curriculum_rows

THREADS = """
import os, sys
from infra.store.tables import parquet_table
content = sys.stdin.buffer.read()
before = len(os.listdir("/proc/self/task"))
parquet_table(content)
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_a_table_comes_back_as_it_was_written_or_the_columns_asked_for() -> None:
    table = table_of(curriculum_rows(5), SCHEMAS["curriculum"])
    again = parquet_table(parquet_bytes(table))
    assert again.equals(table)
    assert again.schema.metadata == table.schema.metadata
    assert parquet_table(parquet_bytes(table), ["question", "p_hat"]).column_names == ["question", "p_hat"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_reading_a_table_starts_no_thread_that_the_end_of_the_process_would_trip_over() -> None:
    content = parquet_bytes(table_of(curriculum_rows(5000), SCHEMAS["curriculum"]))
    done = subprocess.run([sys.executable, "-c", THREADS], input=content, capture_output=True, check=True)
    assert int(done.stdout) == 0
