"""Pages: one file that asks for nothing, in which no text can become code."""

import json
import re

import pytest

from autoseg.reporting.blocks import (
    Chart,
    Column,
    Fact,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
)
from autoseg.reporting.page import render, save_page

EVIL = "</script><img src=x onerror=alert(1)>\x1b[31m"


def page_of(*blocks) -> str:
    sections = (Section("data", "Data", tuple(blocks)),)
    return render(Page(EVIL, EVIL, (Fact(EVIL, EVIL, EVIL),), sections, EVIL))


def test_no_text_becomes_markup_or_ends_a_script():
    table = Table(EVIL, (Column(EVIL),), ((EVIL,),), EVIL)
    html = page_of(Text((EVIL, EVIL), EVIL), table, Gallery(EVIL, (Picture(EVIL, EVIL, "data:,"),)))
    assert "<img src=x" not in html
    assert "\x1b" not in html
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["rows"] == [[EVIL]]


def test_a_page_forbids_every_request():
    html = page_of(Text(("x",)))
    assert "default-src 'none'" in html
    assert not re.search(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:|#)', html)


def test_the_chart_library_is_only_in_pages_with_charts():
    assert len(page_of(Text(("x",)))) < 100_000
    assert len(page_of(Chart("x", {"series": []}))) > 1_000_000


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        page_of(Table("t", (Column("a"),), ((float("nan"),),)))


def test_a_page_is_replaced_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    save_page(Page("a", "b", (), ()), path)
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]
