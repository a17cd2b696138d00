"""Nothing that a model writes becomes markup."""

from __future__ import annotations

import json
from typing import Any

import pytest
from markupsafe import Markup

from data.foreign import visible
from flows.report.page import environment, number_columns
from flows.text import duration, percent, points, size


def part(name: str, *arguments: Any) -> str:
    """What a macro of the templates makes of its arguments."""
    return str(getattr(environment().get_template("parts.html").module, name)(*arguments))


def test_cells_headers_and_attributes_are_escaped_unless_they_are_markup_already() -> None:
    made = part("table", ['a"b<'], [["<b>"], [Markup("<i>x</i>")]])
    assert '<th scope="col">a&#34;b&lt;</th>' in made
    assert '<td data-label="a&#34;b&lt;">&lt;b&gt;</td>' in made
    assert '<td data-label="a&#34;b&lt;"><i>x</i></td>' in made


def test_what_a_model_wrote_is_escaped_once() -> None:
    assert part("model", "<b>&\u202e") == '<bdi class="model">&lt;b&gt;&amp;\\u202e</bdi>'
    assert part("model", None) == "–"


def test_a_json_block_cannot_be_left_and_reads_back_equal() -> None:
    value = {"k": "</script><!--<script>&\u2028"}
    block = environment().from_string("{{ value|tojson }}").render(value=value)
    assert "<" not in block
    assert json.loads(block) == value


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    rows = [["a", 1, "4.1\u00a0%", None], ["b", 2.5, "−1", "3 s"]]
    assert number_columns(rows) == [False, True, True, True]
    assert part("table", ["n"], [[None]]).count("–") == 1
    assert "<tbody>\n</tbody>" in part("table", ["n"], [])


def test_control_and_direction_characters_are_shown_and_not_obeyed() -> None:
    assert visible("a\u202eb\x00c\x1b[2J\n") == "a\\u202eb\\u0000c\\u001b[2J\n"
    assert visible("naïve 中文 🙂") == "naïve 中文 🙂"


def test_long_output_is_cut_and_says_so() -> None:
    assert visible("x" * 15, limit=10) == "x" * 10 + " … (5 more characters)"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.1234), "12.3\u00a0%"),
        (percent(None), None),
        (points(-0.05), "−5.0"),
        (points(0.294), "+29.4"),
        (duration(3.21), "3.2 s"),
        (duration(372), "6 min 12 s"),
        (duration(11100), "3 h 05 min"),
        (size(812), "812 B"),
        (size(2_000_000), "2.0 MB"),
    ],
)
def test_numbers_come_with_their_unit(shown: str | None, expected: str | None) -> None:
    assert shown == expected
