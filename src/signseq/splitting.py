"""`signseq split`: a table becomes train, val and test, so that nothing leaks from one to another."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signseq.data.splits import (
    Repeat,
    assign_groups,
    find_repeats,
    group_rows,
    video_of,
)
from signseq.errors import DataError

__all__ = ["SplitReport", "parse_shares", "split"]

REPEATS = "repeats.csv"


@dataclass(frozen=True)
class SplitReport:
    """What `split` did, and what still stands on both sides of it.

    Attributes:
        folder: Where the tables are.
        rows: Rows of each split.
        groups: Groups of each split.
        shared: For each column that was looked at, how many of its values stand in train and elsewhere.
        repeats: For each split but train its texts that stand in train too, or nearly so.
    """

    folder: Path
    rows: Mapping[str, int]
    groups: Mapping[str, int]
    shared: Mapping[str, int]
    repeats: Mapping[str, Sequence[Repeat]]

    def describe(self) -> str:
        """The report, a line each."""
        total = sum(self.rows.values())
        lines = [
            f"{name:<8}{rows:>8} rows ({100 * rows / total:.1f}%) in {self.groups[name]} groups"
            for name, rows in self.rows.items()
        ]
        for column, count in self.shared.items():
            lines.append(f"{column}s in train and in another split: {count}")
        for name, repeats in self.repeats.items():
            same = sum(repeat.similarity == 1 for repeat in repeats)
            share = 100 * len(repeats) / max(self.rows[name], 1)
            lines.append(
                f"texts of {name} that train has too: {same}, and {len(repeats) - same} nearly so ({share:.1f}%)"
            )
        if any(self.repeats.values()):
            lines.append(
                f"They are listed in {self.folder / REPEATS}. Add text to --by to keep equal texts on one side."
            )
        return "\n".join(lines)


def split(
    table: str | Path,
    out: str | Path,
    *,
    by: Sequence[str] = ("video",),
    shares: Mapping[str, float] | None = None,
    seed: int = 42,
    overwrite: bool = False,
) -> SplitReport:
    """Divide a table of clips into one per split, with the same columns.

    Args:
        table: With the columns `uid` and `text`; separated by commas, or by tabs in a .tsv.
        out: The folder for `train.csv`, `val.csv`, `test.csv` (or .tsv) and `repeats.csv`.
        by: What must not stand on two sides: `video` (the uid without its last -number), `text`, or
            columns such as `signer`. Several together.
        shares: Of the rows, by split; None is 0.9 train, 0.05 val, 0.05 test.
        seed: The same seed, table and `by` give the same splits.
        overwrite: Replace tables that are there.

    Raises:
        DataError: If the table can't be read or divided so, or the folder holds splits already.
    """
    table, out = Path(table), Path(out)
    shares = shares or {"train": 0.9, "val": 0.05, "test": 0.05}
    columns, rows, delimiter = _read(table)
    groups = group_rows(rows, by)
    chosen = assign_groups(groups, shares, seed=seed)
    paths = {name: out / f"{name}{'.tsv' if delimiter == chr(9) else '.csv'}" for name in shares}
    existing = [path for path in paths.values() if path.exists()]
    if existing and not overwrite:
        raise DataError(f"{existing[0]}: is there already. Use --overwrite, or another folder.")
    divided = {
        name: [row for row, where in zip(rows, chosen, strict=True) if where == name]
        for name in shares
    }
    repeats = _repeats(divided)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            _write(path, columns, divided[name], delimiter=delimiter)
        _write_repeats(out / REPEATS, divided, repeats)
    except OSError as fault:
        raise DataError(f"{out}: can't be written ({fault.strerror}).") from fault
    return SplitReport(
        folder=out,
        rows={name: len(part) for name, part in divided.items()},
        groups=dict(Counter(dict(zip(groups, chosen, strict=True)).values())),
        shared=_shared(divided, columns),
        repeats=repeats,
    )


def parse_shares(text: str) -> dict[str, float]:
    """Shares in percent, `90,5,5`, as shares of train, val and test.

    Raises:
        DataError: If they are not three numbers.
    """
    try:
        train, val, test = (float(part) / 100 for part in text.split(","))
    except ValueError as fault:
        raise DataError(f"--shares {text!r}: expected three numbers, as in 90,5,5.") from fault
    return {"train": train, "val": val, "test": test}


def _read(path: Path) -> tuple[list[str], list[dict[str, str]], str]:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not UTF-8"
        raise DataError(f"{path}: the table can't be read ({reason}).") from fault
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = list(reader.fieldnames or [])
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(columns)} columns expected; is a quote missing?"
                )
            rows.append(row)
    except csv.Error as fault:
        raise DataError(f"{path}, line {reader.line_num}: not a valid table ({fault}).") from fault
    missing = [name for name in ("uid", "text") if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {' and no column '.join(map(repr, missing))} (has: {', '.join(columns) or 'nothing'}). "
            f"Expected a header with uid and text, separated by {delimiter!r}."
        )
    twice = [uid for uid, count in Counter(row["uid"] for row in rows).items() if count > 1]
    if twice:
        raise DataError(f"{path}: the uid {twice[0]!r} stands in several rows; a clip is one row.")
    return columns, rows, delimiter


def _shared(
    divided: Mapping[str, Sequence[Mapping[str, str]]], columns: Sequence[str]
) -> dict[str, int]:
    """How many videos and signers stand in train and in another split."""

    def values(name: str, rows: Sequence[Mapping[str, str]]) -> set[str]:
        found = {video_of(row["uid"]) if name == "video" else row[name].strip() for row in rows}
        return found - {""}

    names = ["video", *(name for name in ("signer",) if name in columns)]
    first, *others = divided.values()
    return {
        name: len(values(name, first) & {value for rows in others for value in values(name, rows)})
        for name in names
    }


def _repeats(divided: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, list[Repeat]]:
    first, *others = divided
    known = [row["text"] for row in divided[first]]
    return {name: find_repeats([row["text"] for row in divided[name]], known) for name in others}


def _write(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]], *, delimiter: str
) -> None:
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    aside.replace(path)


def _write_repeats(
    path: Path,
    divided: Mapping[str, Sequence[Mapping[str, str]]],
    repeats: Mapping[str, Sequence[Repeat]],
) -> None:
    train = next(iter(divided.values()))
    rows = [
        {
            "split": name,
            "uid": divided[name][repeat.number]["uid"],
            "text": divided[name][repeat.number]["text"],
            "train_uid": train[repeat.other]["uid"],
            "train_text": train[repeat.other]["text"],
            "similarity": f"{repeat.similarity:.2f}",
        }
        for name, found in repeats.items()
        for repeat in found
    ]
    columns = ("split", "uid", "text", "train_uid", "train_text", "similarity")
    _write(path, columns, rows, delimiter=",")
