"""The table in docs/models.md is of this suite, and of the transformers that is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import test_conformance
import transformers

ROOT = Path(__file__).parents[2]


def table() -> str:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    found = re.search("<!-- conformance: begin -->(.*?)<!-- conformance: end -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def cells() -> list[list[str]]:
    rows = [line for line in table().splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]


def claims() -> set[str]:
    marks = [getattr(test, "pytestmark", []) for test in vars(test_conformance).values()]
    return {mark.args[0] for each in marks for mark in each if mark.name == "claim"}


def test_it_names_the_transformers_that_is_installed() -> None:
    assert f"transformers {transformers.__version__};" in table()


def test_it_has_a_row_for_every_architecture() -> None:
    assert [row[0] for row in cells()[2:]] == test_conformance.ARCHITECTURES


def test_it_has_a_column_for_every_claim_and_no_failure() -> None:
    header, _, *rows = cells()
    assert set(header[1:]) == claims() | {"language"}
    assert "✗" not in table()
    own = [header.index(claim) for claim in claims()]
    assert all(row[column] != "-" for row in rows for column in own)


def test_exceptions_are_few_and_explained() -> None:
    exceptions = [
        (name, reason)
        for each in test_conformance.EXCEPTIONS.values()
        for name, reason in each.items()
    ]
    assert len(exceptions) <= 3
    assert all(name in table() and reason in table() for name, reason in exceptions)
