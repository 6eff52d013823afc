"""A document as a PDF, set by Typst, in fonts that are installed with us: every name is readable on every machine."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import typst

from libs.documents.charts import Style, draw
from libs.documents.document import Course, Document, Section, Table, Trend, shown, storable

FONTS = ("Noto Sans", "Noto Sans SC", "Noto Sans Arabic", "Noto Sans Hebrew")
"""Asked in this order for each character."""

PAPER = Style("#1b2128", "#5a6470", "#dde1e6", "#e3efe7", "#24618f", "#b3261e", ", ".join(FONTS))

_TEMPLATE = str(Path(__file__).with_name("print.typ"))
_BESIDE = {Trend: 3, Course: 1}
"""How many charts of a kind stand beside each other, where it is not two."""

_PACKAGES = ("fontpkg_noto_sans", "fontpkg_noto_sans_arabic", "pylopdf_fonts_he", "pylopdf_fonts_zh_cn")


@cache
def _fonts() -> typst.Fonts:
    """Those of our packages, and no others. Read once."""
    folders = [str(files(package)) for package in _PACKAGES]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)


def pdf_of(document: Document) -> bytes:
    """A PDF with tags for those who have it read to them."""
    made = typst.Compiler(_TEMPLATE, font_paths=_fonts(), sys_inputs={"document": content_of(document)}).compile()
    if not isinstance(made, bytes):
        raise TypeError("a PDF is one file")
    return made


def content_of(document: Document) -> str:
    """What the template sets, in JSON."""
    content = {
        "fonts": FONTS,
        "language": document.language,
        "prose": document.prose,
        "title": document.title,
        "subtitle": document.subtitle,
        "headlines": [(what, shown(value)) for what, value in document.headlines],
        "sections": [_section(index, one) for index, one in enumerate(document.sections)],
    }
    return storable(json.dumps(content, ensure_ascii=False))


def _section(number: int, section: Section) -> dict[str, object]:
    return {
        "title": section.title,
        "sentences": list(section.sentences),
        "own_page": section.own_page,
        "beside": min((_BESIDE.get(type(chart), 2) for chart in section.charts), default=1),
        "charts": [
            {
                "title": chart.title,
                "unit": getattr(chart, "unit", ""),
                "svg": draw(chart, PAPER, f"chart-{number}-{index}"),
            }
            for index, chart in enumerate(section.charts)
        ],
        "tables": [_table(table) for table in section.tables if not table.behind],
    }


def _table(table: Table) -> dict[str, object]:
    return {
        "title": table.title,
        "columns": list(table.columns),
        "numbers": [table.is_number(column) for column in range(len(table.columns))],
        "rows": [[shown(cell) for cell in row] for row in table.rows],
        "marked": sorted(table.marked),
        "fine": table.fine,
    }
