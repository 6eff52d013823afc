"""A document as a page that needs nothing but itself, for screens light and dark, wide and narrow, and for print."""

import re
from html import escape
from pathlib import Path
from string import Template

from libs.documents.charts import PAGE, draw
from libs.documents.document import Course, Document, Section, Table, Trend, shown, storable

NARROW = 3
"""So many columns have room beside each other on a telephone; the cells of more stand below each other there."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?")
_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def page_of(document: Document) -> bytes:
    """HTML in UTF-8."""
    headlines = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(shown(value))}</dd></div>" for what, value in document.headlines
    )
    sections = "\n".join(_section(index, one) for index, one in enumerate(document.sections))
    page = _PAGE.substitute(
        title=escape(document.title),
        subtitle=_own(document.subtitle),
        headlines=headlines,
        sections=sections,
        language=document.language,
    )
    return storable(page).encode()


def _section(number: int, section: Section) -> str:
    parts = [f"<section><h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{_own(sentence)}</p>" for sentence in section.sentences]
    if section.charts:
        parts.append('<div class="charts">')
        for index, chart in enumerate(section.charts):
            unit = f" <span>{escape(chart.unit)}</span>" if hasattr(chart, "unit") and chart.unit else ""
            caption = f"<figcaption><bdi>{escape(chart.title)}</bdi>{unit}</figcaption>"
            kind = "small" if isinstance(chart, Trend) else "whole" if isinstance(chart, Course) else "medium"
            made = draw(chart, PAGE, f"chart-{number}-{index}")
            parts.append(f'<figure class="{kind}">{caption}{made}</figure>')
        parts.append("</div>")
    parts += [_table(table) for table in section.tables]
    return "".join((*parts, "</section>"))


def _table(table: Table) -> str:
    classes = [_class(table, column) for column in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{name}>{escape(title)}</th>' for title, name in zip(table.columns, classes, strict=True)
    )
    rows = []
    for index, row in enumerate(table.rows):
        cells = []
        for column, (cell, title, name) in enumerate(zip(row, table.columns, classes, strict=True)):
            kind = "td" if column else 'th scope="row"'
            cells.append(f'<{kind}{name} data-title="{escape(title)}">{_own(shown(cell))}</{kind[:2]}>')
        rows.append(f"<tr{' class=m' if index in table.marked else ''}>{''.join(cells)}</tr>")
    made = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f"<table{' class=cards' if len(table.columns) > NARROW else ''}>"
        f"<caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    if table.behind:
        return f"<details><summary>{escape(table.title)}: the numbers</summary>{made}</details>"
    return made


def _class(table: Table, column: int) -> str:
    """Numbers stand to the right; neither they nor days and moments are broken."""
    if table.is_number(column):
        return ' class="n"'
    said = {shown(row[column]) for row in table.rows} - {""}
    return ' class="day"' if said and all(map(_DAY.fullmatch, said)) else ""


def _own(text: str) -> str:
    """Text in its own lines, and its own direction, whatever stands beside it."""
    lines = escape(text).replace("\n", "<br>")
    return f"<bdi>{lines}</bdi>" if any(ord(character) >= 0x590 for character in text) else lines
