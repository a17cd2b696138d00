"""Nothing that a model writes becomes markup."""

from __future__ import annotations

import json

import pytest

from flows.report.markup import Html, element, join, json_block, text
from flows.text import duration, percent, points, size, visible


def test_children_and_attributes_are_escaped_unless_they_are_markup_already() -> None:
    made = element(
        "p", "<b>", element("i", "x & y"), Html("<br>"), class_='a"b', data_label="<", hidden=False
    )
    assert made == '<p class="a&quot;b" data-label="&lt;">&lt;b&gt;<i>x &amp; y</i><br></p>'


def test_nothing_is_escaped_twice() -> None:
    assert text(text("<")) == "&lt;"
    assert join(None, ["a", element("b", "<")]) == "a<b>&lt;</b>"


def test_a_json_block_cannot_be_left_and_reads_back_equal() -> None:
    value = {"k": "</script><!--<script>&\u2028"}
    block = json_block("data", value)
    assert block.count("<") == 2
    assert json.loads(block.partition(">")[2].rpartition("<")[0]) == value


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
