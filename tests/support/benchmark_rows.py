"""Small data files of each benchmark's shape: the hub's columns, rows written for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

ROWS: dict[str, list[dict[str, Any]]] = {
    "math500": [
        {
            "problem": "What is $\\frac{1}{2} + \\frac{1}{3}$?",
            "solution": "We add. The sum is $\\boxed{\\frac{5}{6}}.$",
            "answer": "\\frac{5}{6}",
            "subject": "Prealgebra",
            "level": 1,
            "unique_id": "test/prealgebra/1.json",
        },
        {
            "problem": "Give $(r,\\theta)$ for the point $(0,3)$.",
            "solution": "It is $\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}.$",
            "answer": "\\left( 3, \\frac{\\pi}{2} \\right)",
            "subject": "Precalculus",
            "level": 2,
            "unique_id": "test/precalculus/2.json",
        },
        {
            "problem": "Who ran fastest?",
            "solution": "\\boxed{\\text{Evelyn}}",
            "answer": "\\text{Evelyn}",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "test/algebra/3.json",
        },
    ],
    "gsm8k": [
        {"question": "A hen lays 9 eggs a day. How many in 2 days?", "answer": "9*2=<<9*2=18>>18\n#### 18"},
        {"question": "A house costs 70 bags of $1000. Price?", "answer": "70*1000=70000\n#### 70,000"},
    ],
    "amc23": [
        {"id": 0, "question": "Cities are 45 miles apart. Where?", "answer": 27.0, "url": "https://a/1"},
        {"id": 1, "question": "How many shares of 3?", "answer": 36.0, "url": "https://a/2"},
    ],
    "minerva": [
        {
            "problem": "Each of two stars has what mass, in grams?",
            "solution": "So \\boxed{1.6e14}.",
            "answer": "1.6e14",
            "type": "Introduction to Astronomy",
            "idx": 0,
        },
        {
            "problem": "Find the inverse Laplace transform.",
            "solution": "\\boxed{\\sin(2t)}",
            "answer": "\\sin(2t)",
            "type": "Differential Equations",
            "idx": 1,
        },
    ],
    "olympiadbench": [
        {
            "id": 1606,
            "question": "Find the least $k$.",
            "solution": ["It is 3."],
            "final_answer": ["3"],
            "context": None,
            "modality": "Text-only",
            "difficulty": "Competition",
            "is_multiple_answer": False,
            "unit": None,
            "answer_type": "Numerical",
            "error": None,
            "question_type": "Open-ended",
            "subfield": "Algebra",
            "subject": "Math",
            "language": "English",
        },
        {
            "id": 1709,
            "question": "Find all triples.",
            "solution": ["There are two."],
            "final_answer": ["$(1,8,19), (2,7,13)$"],
            "context": None,
            "modality": "Text-only",
            "difficulty": "Competition",
            "is_multiple_answer": True,
            "unit": None,
            "answer_type": "Tuple",
            "error": None,
            "question_type": "Open-ended",
            "subfield": "Number Theory",
            "subject": "Math",
            "language": "English",
        },
        {
            "id": 1800,
            "question": "Find both roots.",
            "solution": ["Two."],
            "final_answer": ["$-2$", "$1$"],
            "context": None,
            "modality": "Text-only",
            "difficulty": "Competition",
            "is_multiple_answer": True,
            "unit": None,
            "answer_type": "Numerical",
            "error": None,
            "question_type": "Open-ended",
            "subfield": "Algebra",
            "subject": "Math",
            "language": "English",
        },
        {
            "id": 1900,
            "question": "Estimate the ratio.",
            "solution": ["About 7.1."],
            "final_answer": ["7.1"],
            "context": None,
            "modality": "Text-only",
            "difficulty": "Competition",
            "is_multiple_answer": False,
            "unit": None,
            "answer_type": "Numerical",
            "error": "1e-1",
            "question_type": "Open-ended",
            "subfield": "Geometry",
            "subject": "Math",
            "language": "English",
        },
    ],
    "aime2024": [
        {
            "id": 60,
            "problem": "How many minutes does the walk take?",
            "solution": "\\boxed{204}",
            "answer": "204",
            "url": "https://a/1",
            "year": "2024",
        },
        {
            "id": 61,
            "problem": "Find $m+n$.",
            "solution": "\\boxed{033}",
            "answer": "033",
            "url": "https://a/2",
            "year": "2024",
        },
    ],
    "aime2025": [
        {"problem": "Sum all bases $b$.", "answer": "70", "solution": "70", "id": "0"},
        {"problem": "Find the area.", "answer": "588", "solution": "588", "id": "1"},
    ],
    "mmlu_pro": [
        {
            "question_id": 70,
            "question": "Which gas?",
            "options": ["Oxygen", "Neon", "Argon"],
            "answer": "C",
            "answer_index": 2,
            "cot_content": "",
            "category": "chemistry",
            "src": "theoremQA-1",
        },
        {
            "question_id": 71,
            "question": "Which city?",
            "options": ["Rome", "Oslo"],
            "answer": "A",
            "answer_index": 0,
            "cot_content": "",
            "category": "history",
            "src": "ori_mmlu-2",
        },
    ],
    "supergpqa": [
        {
            "uuid": "0f1a",
            "question": "Which law?",
            "options": ["Ohm", "Hooke"],
            "answer": "Hooke",
            "answer_letter": "B",
            "discipline": "Engineering",
            "field": "Mechanics",
            "subfield": "Statics",
            "difficulty": "middle",
            "is_calculation": False,
        },
    ],
    "bbeh": [
        {"question": "Is it true? (yes or no)", "answer": "no", "task": "boolean expressions"},
        {"question": "Which option?\n(A) x\n(B) y", "answer": "(B)", "task": "disambiguation qa"},
        {"question": "List them.", "answer": "Ann, Bo", "task": "web of lies"},
    ],
}


def write_data(folder: Path, names: list[str] | None = None, parquet: bool = False) -> Path:
    """`<benchmark>.jsonl` (or .parquet) of these benchmarks, all where none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names if names is not None else ROWS:
        if parquet:
            pl.DataFrame(ROWS[name], infer_schema_length=None).write_parquet(folder / f"{name}.parquet")
        else:
            lines = [json.dumps(row, ensure_ascii=False) for row in ROWS[name]]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
