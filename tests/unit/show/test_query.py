"""`--sql` reads the table `self`, and nothing else on this machine or another."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data.resolve import ConfigError
from flows.query import run_query

FRAME = pl.DataFrame(
    {"question": ["What is 1+1?", "\\frac{a}{b} read_csv('x')"], "p_hat": [0.5, 0.9], "kept": [True, False]}
)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM self",
        "select question, p_hat from self where kept order by p_hat desc limit 3;",
        "SELECT count(*) AS n, AVG(p_hat) FROM self GROUP BY kept HAVING count(*) > 0 ORDER BY p_hat",
        "WITH best AS (SELECT * FROM self WHERE p_hat > 0.6) SELECT question FROM best",
        "SELECT a.p_hat FROM self AS a JOIN (SELECT question FROM self) AS b ON a.question = b.question "
        "ORDER BY p_hat",
        "SELECT CASE WHEN p_hat BETWEEN .3 AND .7 THEN 'near' ELSE 'far' END AS how FROM self",
        "SELECT question FROM self WHERE question LIKE '%\\frac%' OR question = 'it''s read_csv('",
        'SELECT "p_hat" AS "read_csv" FROM self WHERE kept IN (TRUE)',
        "SELECT CAST(p_hat AS DECIMAL(4, 2)), round(p_hat, 1) FROM self",
        "SELECT n FROM (SELECT ROW_NUMBER() OVER (ORDER BY p_hat) AS n FROM self UNION ALL SELECT 1 AS n "
        "FROM self) AS both ORDER BY n",
        "SELECT substr(question, 1, 4), strpos(question, '1'), -p_hat FROM self",
    ],
)
def test_a_query_over_the_table_gives_what_polars_gives(query: str) -> None:
    assert run_query(FRAME, query).equals(FRAME.sql(query.removesuffix(";")))


FILE = "/etc/passwd"
READS = (
    "SELECT * FROM read_csv('{}')",
    "SELECT * FROM READ_CSV ('{}')",
    "SELECT * FROM \"read_csv\"('{}')",
    "SELECT * FROM `read_csv`('{}')",
    "SELECT * FROM read_csv/**/('{}')",
    "SELECT * FROM read_csv--\n('{}')",
    "SELECT * FROM self, read_csv('{}')",
    "SELECT * FROM self JOIN read_csv('{}') ON true",
    "SELECT * FROM self WHERE p_hat IN (SELECT 1 FROM read_csv('{}'))",
    "WITH x AS (SELECT * FROM read_csv('{}')) SELECT * FROM x",
    "SELECT * FROM self UNION ALL SELECT * FROM read_csv('{}')",
    "SELECT * FROM read_parquet('{}')",
    "SELECT * FROM read_ipc('{}')",
    "SELECT * FROM read_json('{}')",
    "SELECT * FROM read_ndjson('{}')",
    "SELECT * FROM scan_csv('{}')",
    "SELECT * FROM pl.read_csv('{}')",
    "SELECT * FROM '{}'",
    'SELECT * FROM "{}"',
    "SELECT * FROM self, '{}'",
    "SELECT E'\\'' FROM read_csv('{}')",
    "SELECT '\\'', x FROM read_csv('{}')",
    "SELECT $$a$$ FROM read_csv('{}')",
    "SELECT * FROM TABLE(read_csv('{}'))",
    "SELECT * FROM LATERAL read_csv('{}')",
    "FROM read_csv('{}')",
    "CREATE TABLE t AS SELECT * FROM read_csv('{}')",
    "COPY self TO '{}'",
    "EXPLAIN SELECT * FROM read_csv('{}')",
    "SELECT 1; SELECT * FROM read_csv('{}')",
    "(SELECT * FROM read_csv('{}'))",
    "SELECT read_csv('{}') FROM self",
    "SELECT * FROM FRAME, '{}'",
)


@pytest.mark.parametrize("query", READS)
def test_no_spelling_reads_a_file(query: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.csv"
    planted.write_text("secret\nplanted\n")
    for file in (FILE, str(planted)):
        with pytest.raises(ConfigError, match="--sql: ") as refused:
            run_query(FRAME, query.format(file))
        assert "root:" not in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    assert planted.read_text() == "secret\nplanted\n"


@pytest.mark.parametrize(
    "query",
    [
        *("", ";", "SELEC", "SELECT nope FROM self", "SELECT * FROM other", "SELECT (", "DROP TABLE self"),
        *("DELETE FROM self", "TRUNCATE self", "SELECT \x00", "SELECT '\ud800' FROM self", "SELECT FROM"),
        *(
            "SELECT " + "(" * 9000 + "1" + ")" * 9000 + " FROM self",
            "SELECT " + "1+" * 20_000 + "1 FROM self",
        ),
        "SELECT * FROM self WHERE p_hat LIKE 3",
    ],
    ids=lambda query: ascii(query[:30]),
)
def test_a_query_that_fails_is_one_line(query: str) -> None:
    with pytest.raises(ConfigError, match="--sql: ") as refused:
        run_query(FRAME, query)
    assert len(str(refused.value)) < 300
    assert len(str(refused.value).splitlines()) == 1
