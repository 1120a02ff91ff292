"""The command line: the verbs stand in `cli`; each parses, calls one library function, and prints.

Heavy imports stand inside the verbs, so that `signseq --help` answers at once.
"""

from __future__ import annotations

from signseq.cli import corpora, models, results, scores, serving, subtitles, translation, viewing
from signseq.cli.app import app
from signseq.console import run_command_line

__all__ = [
    "app",
    "corpora",
    "main",
    "models",
    "results",
    "scores",
    "serving",
    "subtitles",
    "translation",
    "viewing",
]


def main() -> None:
    """Run the command line; mistakes end with one message and exit code 1, Ctrl-C with 130."""
    run_command_line(app)


if __name__ == "__main__":
    main()
