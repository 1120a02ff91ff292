"""Run the conformance suite and write its outcome as a table into docs/models.md.

python docs/conformance.py      about two minutes on two cores
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
SUITE = ("tests/model/test_conformance.py", "tests/model/test_languages.py")
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
MARKS = {"passed": "✓", "failed": "✗", "none": "-"}


class Outcomes:
    """What pytest found: for each architecture and claim the worst outcome of its tests.

    Attributes:
        found: (architecture, claim) -> passed or failed.
        notes: (architecture, claim) -> why it is excepted.
    """

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], str] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.tests: dict[str, int] = defaultdict(int)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Remember which architecture and claim each test is about."""
        for item in items:
            mark = item.get_closest_marker("claim")
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            if mark is None or "name" not in parameters:
                continue
            key = (parameters["name"], mark.args[0])
            self.keys[item.nodeid] = key
            exceptions = getattr(item.module, "EXCEPTIONS", {})
            if reason := exceptions.get(key[1], {}).get(key[0]):
                self.notes[key] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an outcome; one failure spoils a claim."""
        key = self.keys.get(report.nodeid)
        if key is None or (report.when != "call" and report.passed):
            return
        self.tests[key[1]] += report.when == "call"
        if not report.passed:
            self.found[key] = "failed"
        self.found.setdefault(key, "passed")


def draw(outcomes: Outcomes) -> str:
    """The table in Markdown."""
    names = list(dict.fromkeys(name for name, _ in outcomes.keys.values()))
    claims = list(dict.fromkeys(claim for _, claim in outcomes.keys.values()))
    notes = list(outcomes.notes)
    rows = [
        f"transformers {version('transformers')}; {sum(outcomes.tests.values())} tests; written by "
        "`python docs/conformance.py`.",
        "",
        f"| `model.name` | {' | '.join(claims)} |",
        f"|---{'|:-:' * len(claims)}|",
    ]
    for name in names:
        cells = []
        for claim in claims:
            key = (name, claim)
            mark = MARKS[outcomes.found.get(key, "none")]
            cells.append(f"[{notes.index(key) + 1}]" if key in notes and mark == "✓" else mark)
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    for number, key in enumerate(notes, start=1):
        rows += ["", f"[{number}] {key[0]}, {key[1]}: {outcomes.notes[key]}."]
    return "\n".join(rows)


def main() -> int:
    outcomes = Outcomes()
    code = pytest.main(["-q", *(str(ROOT / path) for path in SUITE)], plugins=[outcomes])
    text = PAGE.read_text(encoding="utf-8")
    table = f"{BEGIN}\n{draw(outcomes)}\n{END}"
    changed, count = re.subn(f"{BEGIN}.*?{END}", lambda _: table, text, flags=re.DOTALL)
    if not count:
        print(f"{PAGE}: no place for the table; it stands between {BEGIN} and {END}")
        return 1
    PAGE.write_text(changed, encoding="utf-8")
    print(f"{PAGE}: written; {sum(value == 'failed' for value in outcomes.found.values())} failed")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
