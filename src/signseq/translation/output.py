"""Translations as text, as a table and as JSON lines; and the file that they go to."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from signseq.errors import DataError
from signseq.translation.results import Translation

__all__ = ["OutputFormat", "ResultFile", "format_result", "header"]

logger = logging.getLogger(__name__)

OutputFormat = Literal["text", "tsv", "jsonl"]
COLUMNS = ("file", "rank", "seconds", "score", "text", "error")


def header(form: OutputFormat) -> list[str]:
    """The lines that stand before all others."""
    return ["\t".join(COLUMNS)] if form == "tsv" else []


def format_result(
    name: str,
    found: Translation,
    *,
    form: OutputFormat,
    n_best: int = 1,
    scores: bool = False,
    named: bool = True,
) -> list[str]:
    """The lines of one clip.

    Args:
        name: What it is called.
        found: Its translation, or why there is none; `text` has no line for the latter.
        form: How.
        n_best: In `jsonl`, whether there is a list of all.
        scores: In `text`, whether scores are shown.
        named: In `text`, whether names are.
    """
    if form == "jsonl":
        return [json.dumps(_facts(name, found, n_best=n_best), ensure_ascii=False)]
    if form == "tsv":
        if found.error:
            return [_row([name, "", "", "", "", found.error])]
        seconds = f"{found.seconds:.3f}"
        return [
            _row([name, str(rank), seconds, f"{score:.4f}", text, ""])
            for rank, (text, score) in enumerate(found.alternatives, start=1)
        ]
    return [
        _on_one_line(
            "\t".join([*([name] if named else []), *([f"{score:.3f}"] if scores else []), text])
        )
        for text, score in found.alternatives
    ]


def _row(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="").writerow(
        [_on_one_line(value) for value in values]
    )
    return line.getvalue()


def _on_one_line(value: str) -> str:
    return " ".join(value.splitlines())


def _facts(name: str, found: Translation, *, n_best: int) -> dict[str, Any]:
    if found.error:
        return {"file": name, "error": found.error}
    facts: dict[str, Any] = {
        "file": name,
        "text": found.text,
        "score": found.score,
        "seconds": round(found.seconds, 3),
    }
    if n_best > 1:
        facts["n_best"] = [{"text": text, "score": score} for text, score in found.alternatives]
    if found.warnings:
        facts["warnings"] = list(found.warnings)
    return facts


class ResultFile:
    """A file of results that is whole or not there; beside it, until then, `NAME.part` with what there is.

    Args:
        path: The file.
        form: Its format.
    """

    def __init__(self, path: Path, form: OutputFormat) -> None:
        self.path, self.form = path, form
        self.part = path.with_name(f"{path.name}.part")

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """See that results may go to the file, before the work is done.

        Args:
            resume: Whether what an earlier run left is kept.
            overwrite: Whether it is replaced.

        Raises:
            DataError: If it holds something that is neither, or is no file.
        """
        if self.path.is_dir():
            raise DataError(f"{self.path}: is a folder. Name a file in it.")
        if self.path.exists() and not self.path.is_file():
            raise DataError(
                f"{self.path}: isn't an ordinary file. Leave --out out, and redirect standard output with >."
            )
        if resume or overwrite:
            return
        go_on = "" if self.form == "text" else " Go on from it with --resume."
        if self.part.exists():
            raise DataError(
                f"{self.part}: holds what a run had done when it was stopped.{go_on} Begin anew with --overwrite."
            )
        if self.path.exists():
            raise DataError(
                f"{self.path}: is there already.{go_on} Write it anew with --overwrite."
            )

    def kept(self) -> dict[str, list[str]]:
        """The lines of clips that an earlier run has translated, by their names; errors are tried again.

        Of a clip whose last sentence is half a line, none is kept.

        Raises:
            DataError: If the file is there and of another format.
        """
        if self.form == "text":
            raise DataError(
                "--resume needs --format tsv or jsonl: plain text doesn't say what failed."
            )
        place = self.part if self.part.exists() else self.path
        try:
            content = place.read_bytes().decode(
                "utf-8", errors="ignore"
            )  # the end may be half a letter
        except FileNotFoundError:
            return {}
        except OSError as fault:
            raise DataError(f"{place}: can't be read ({fault}). Write to another file.") from fault
        lines: dict[str, list[str]] = {}
        *whole, half = content.split("\n")[len(header(self.form)) :] or [""]
        for line in whole:
            try:
                name, error = self._name_and_error(line)
            except (ValueError, KeyError, TypeError, csv.Error) as fault:
                raise DataError(
                    f"{place}: holds no results as {self.form} ({fault!r}). Write to another file."
                ) from fault
            if not error:
                lines.setdefault(name, []).append(line)
        if self.form == "tsv" and half and lines:
            last = [*lines][-1]
            own = lines[last][0].split("\t")[0]  # as it is written
            if half.startswith(f"{own}\t") or own.startswith(half):
                del lines[last]
        return lines

    def name_of(self, clip: str) -> str:
        """What a clip of this name is called in the file."""
        return _on_one_line(clip) if self.form == "tsv" else clip

    def _name_and_error(self, line: str) -> tuple[str, str | None]:
        if self.form == "jsonl":
            facts = json.loads(line)
            return facts["file"], facts.get("error")
        row = next(csv.reader([line], delimiter="\t"))
        if len(row) != len(COLUMNS):
            raise ValueError(f"{len(row)} columns")
        return row[0], row[-1]

    @contextmanager
    def writing(self, kept: dict[str, list[str]]) -> Iterator[TextIO]:
        """The part, with what is kept; the caller adds lines to it, and it stays when that fails.

        Raises:
            DataError: If it can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.part.with_name(f".{self.part.name}.{os.getpid()}")
            lines = [*header(self.form), *(line for each in kept.values() for line in each)]
            fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            fresh.replace(self.part)
            with self.part.open("a", encoding="utf-8", newline="\n") as file:
                yield file
        except KeyboardInterrupt:
            how = (
                "" if self.form == "text" else "; the same command with --resume goes on from there"
            )
            logger.warning("Stopped. What is done is in %s%s.", self.part, how)
            raise
        except OSError as fault:
            place = fault.filename or self.path
            raise DataError(f"{place}: can't be written ({fault.strerror}).") from fault

    def finish(self, names: Iterable[str] | None) -> None:
        """Make the part the file, its lines in the order of the clips' names, where that is known.

        Lines of other clips stay behind them.

        Raises:
            DataError: If it can't be written.
        """
        try:
            self._finish(names)
        except OSError as fault:
            place = fault.filename or self.path
            raise DataError(
                f"{place}: can't be written ({fault.strerror}). The results are in {self.part}."
            ) from fault

    def _finish(self, names: Iterable[str] | None) -> None:
        if names is not None and self.form != "text":
            lines: dict[str, list[str]] = {}
            whole = self.part.read_bytes().decode("utf-8").split("\n")[:-1]
            for line in whole[len(header(self.form)) :]:
                lines.setdefault(self._name_and_error(line)[0], []).append(line)
            places = dict.fromkeys(
                [*(name for name in map(self.name_of, names) if name in lines), *lines]
            )
            ordered = [line for name in places for line in lines[name]]
            content = "".join(f"{line}\n" for line in [*header(self.form), *ordered])
            fresh = self.part.with_name(f".{self.part.name}.{os.getpid()}")
            fresh.write_text(content, encoding="utf-8")
            fresh.replace(self.part)
        self.part.replace(self.path)
