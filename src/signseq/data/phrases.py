"""Reading what is to be signed: a table, or a file with one sentence a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from signseq.data.glossing import Phrase
from signseq.data.readers.tables import read_rows
from signseq.errors import DataError

__all__ = ["read_phrases"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LONGEST_UID = 200  # bytes; file names may have 255, and the extension and a temporary mark follow


def read_phrases(texts: Path, glosses: Path | None = None) -> list[Phrase]:
    """Read the sentences that are to be signed.

    Args:
        texts: A .csv or .tsv with the columns `uid` and `text`, and optionally `glosses` (separated by
            spaces; where it is empty, the words of the text are signed). Any other file has one
            sentence a line, named `line_000001` after its line; blank lines are left out.
        glosses: For a file of sentences: one of the same number of lines, with their glosses.

    Raises:
        DataError: If a file can't be read, has no sentence, or a uid can't name a file.
    """
    delimiter = DELIMITERS.get(texts.suffix.lower())
    if delimiter is not None and glosses is not None:
        raise DataError(
            f"{texts}: a table brings its glosses in a column `glosses`; {glosses} belongs to a file "
            "with one sentence a line."
        )
    phrases = list(
        _read_lines(texts, glosses) if delimiter is None else _read_table(texts, delimiter)
    )
    if not phrases:
        raise DataError(f"{texts}: holds no sentence.")
    twice = [uid for uid, count in Counter(each.uid for each in phrases).items() if count > 1]
    if twice:
        raise DataError(f"{texts}: the uid {twice[0]!r} stands in several rows; a clip is one row.")
    return phrases


def _read_table(path: Path, delimiter: str) -> Iterator[Phrase]:
    for row in read_rows(path, delimiter=delimiter, required=("uid", "text"), key="uid"):
        uid = row.values["uid"].strip()
        if uid.startswith(".") or set("/\\") & set(uid) or len(uid.encode()) > LONGEST_UID:
            raise DataError(
                f"{row.where}: names the pose file, so it can't start with a dot, hold a slash, or be longer "
                f"than {LONGEST_UID} bytes. Rename it."
            )
        glosses = tuple(row.values.get("glosses", "").split())
        yield Phrase(uid, row.values["text"].strip(), glosses or None)


def _read_lines(texts: Path, glosses: Path | None) -> Iterator[Phrase]:
    lines = _lines_of(texts)
    signed: list[str] | None = None
    if glosses is not None:
        signed = _lines_of(glosses)
        if len(signed) != len(lines):
            raise DataError(
                f"{glosses}: {len(signed)} lines, but {texts} has {len(lines)}. Expected the glosses of each "
                "sentence on the line of the same number."
            )
    for number, line in enumerate(lines):
        if line:
            given = tuple(signed[number].split()) if signed is not None else ()
            # An underscore, as `signseq split` takes a last `-number` for a clip of a video.
            yield Phrase(f"line_{number + 1:06d}", line, given or None)


def _lines_of(path: Path) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8. Save the file as UTF-8.") from fault
    except OSError as fault:
        raise DataError(f"{path}: can't be read ({fault.strerror}).") from fault
    lines = [" ".join(line.split()) for line in content.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines
