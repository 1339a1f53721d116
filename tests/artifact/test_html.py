"""Tables for notebooks: escaped, cut, and with bars in proportion."""

import re
from html.parser import HTMLParser

import pytest
from samples import linear

from shoestring.artifact import bill, html
from shoestring.artifact.format import file


class Cells(HTMLParser):
    """The texts of the cells of a table, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1][-1] += data


def test_a_table_has_a_heading_and_its_cells():
    found = Cells(html.table(("name", "bytes"), [["a", "1"], ["b", html.Bar(text="2", share=1.0)]]))
    assert found.rows == [["name", "bytes"], ["a", "1"], ["b", "2"]]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", "\"'", "<img src=x>"])
def test_texts_of_others_stay_texts(text):
    written = html.table((text,), [[text]], caption=text)
    found = Cells(written.partition("</caption>")[2])
    assert found.rows == [[text], [text]]
    assert not {"script", "img"} & set(Cells(written).tags)


def test_bars_are_in_proportion_and_within_their_width():
    assert html.shares([1.0, 4.0, None, -2.0]) == [0.25, 1.0, 0.0, 0.0]
    assert html.shares([]) == [] and html.shares([0.0]) == [0.0]
    written = html.table(("a",), [[html.Bar(text="", share=share)] for share in (0.5, 9.0, -1.0)])
    assert re.findall(r"width:(\d+)px", written) == ["45", "90", "0"]


def test_long_texts_and_long_tables_are_cut_and_say_so():
    written = html.table(("a",), [["x" * 1_000_000]] * 1000)
    assert len(written) < 100_000
    assert "(1,000,000 characters)" in written and "and 800 more rows" in written


def test_a_bill_in_a_notebook_has_the_lines_of_the_bill():
    data = file.pack(linear())
    lines = bill(data, ["<w>", "b"])
    found = Cells(lines._repr_html_().partition("</caption>")[2])
    assert [row[0] for row in found.rows[1:]] == ["<w>", "b", "graph", "frame"]
    assert sum(int(row[1].replace(",", "")) for row in found.rows[1:]) == len(data) == lines.bytes
    assert f"{len(data):,} bytes in all" in lines._repr_html_()


def test_a_bill_says_what_each_section_of_a_tensor_takes_and_how_many_numbers_are_zero():
    lines = bill(file.pack(linear()))
    weights, bias, graph, frame = lines
    for line in (weights, bias):
        assert sum(line.parts.values()) == line.bytes
        assert list(line.parts) == ["codes", "values", "description"]
    assert (weights.numbers, weights.zeros) == (6, 1) and (bias.numbers, bias.zeros) == (2, 0)
    assert graph.parts == frame.parts == {} and graph.numbers == 0 and graph.zeros is None
    assert lines[0] is weights and len(lines) == 4 and list(lines[:2]) == [weights, bias]
