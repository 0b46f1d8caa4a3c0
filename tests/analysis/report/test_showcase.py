"""docs/showcase.md quotes the software: each sentence and each row of a table is one that it writes of these points."""

import re
from pathlib import Path

import pytest

from analysis.report.summary import summarise
from analysis.report.text_tables import tables_of
from tests.analysis.report.test_published_reports import evidence_of

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "showcase.md").read_text()


@pytest.fixture(scope="module")
def written():
    """What the two reports say, sentences and rows of their fits alike."""
    lines: set[str] = set()
    for name in ("sambay_flops", "sambay_data"):
        evidence = evidence_of(name)
        summary = summarise(evidence)
        lines |= {summary.headline, *(line for _, part in summary.headed() for line in part)}
        lines |= set(tables_of(evidence)["Fits"].markdown().splitlines())
    return lines


def test_every_quotation_and_every_row_is_what_the_software_writes(written):
    shown = re.findall(r"^> (.+)$|^(\|.+)$", TEXT, flags=re.MULTILINE)
    assert len(shown) > 25
    for sentence, row in shown:
        assert (sentence or row) in written


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (DOCS / picture).read_bytes().startswith(b"\x89PNG")
