"""Which clips the names on a command line stand for: files, folders, globs, zips, tables."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from signseq.data.readers.tables import parse_number, read_rows, unreadable
from signseq.errors import DataError
from signseq.poses.sources.hdf5 import list_h5
from signseq.poses.sources.opening import SUFFIXES
from signseq.poses.sources.source import PoseFormat
from signseq.poses.sources.zipped import is_archive, open_archive
from signseq.translation.sources import ClipSource, is_video

__all__ = ["TABLES", "list_clips", "names_a_table", "read_clip_table"]

TABLES = {".csv": ",", ".tsv": "\t", ".jsonl": ""}  # and what stands between their columns
FRAME_FILE = "_keypoints.json"  # OpenPose's, one a frame


def list_clips(
    names: Iterable[str], *, pose_format: PoseFormat | None = None, pose_dir: Path | None = None
) -> Iterator[ClipSource]:
    """The clips that names stand for, in their order; those of a folder by their paths.

    Of a folder, with the folders inside, these are taken: poses, videos (a video beside poses of the same name is left
    out), and folders of OpenPose's frames. A table's rows name clips in `pose_dir`. What isn't there is a clip, too:
    what is wrong with it is found when it is read.

    Args:
        names: Files, folders, globs, zips of poses, or tables (.csv, .tsv, .jsonl).
        pose_format: How the poses are stored; None finds out by the look of each.
        pose_dir: Where a table's poses or videos are; None means beside it, or in `poses` or `videos` there.

    Raises:
        DataError: If nothing is in a folder or a zip, no file fits a glob, a name is empty, or a table is wrong.
        PoseError: If a zip or an HDF5 file isn't there.
    """
    for name in names:
        if not name:  # a variable of a shell that isn't set; it would be the folder one is in
            raise DataError(
                "An empty name. Give a file, a folder or a glob; . is the folder you are in."
            )
        found = _expand(name)
        if not found:
            raise DataError(f"{name}: no poses or videos there.")
        for each in found:
            if each == Path(name) or not each.is_dir() or _is_openpose(each):
                yield from _clips_of(each, pose_format, pose_dir)


def names_a_table(names: Iterable[str]) -> bool:
    """Whether one of these names, or a file that fits one, is a table's."""
    return any(path.suffix.lower() in TABLES for name in names for path in _expand(name))


def _expand(name: str) -> list[Path]:
    """The files that fit a glob; of another name itself, be it there or not."""
    path = Path(name)
    if path.exists() or not glob.has_magic(name):  # a name may hold the brackets of a glob
        return [path]
    return sorted(map(Path, glob.glob(name, recursive=True)))


def _clips_of(
    path: Path, pose_format: PoseFormat | None, pose_dir: Path | None
) -> Iterator[ClipSource]:
    kind = pose_format.name if pose_format else None
    plain = ClipSource(str(path), str(path), pose_format=pose_format)
    if path.is_dir() and not _is_openpose(path):
        found = [
            replace(plain, name=str(each), path=str(each)) for each in _walk(path, pose_format)
        ]
        if not found:
            what = "poses or videos" if kind is None else f"poses stored as {kind}"
            raise DataError(f"{path}: no {what} there.")
        yield from found
    elif path.suffix.lower() in TABLES:
        yield from read_clip_table(path, pose_format=pose_format, pose_dir=pose_dir)
    elif path.exists() and is_archive(path):
        yield from _members(plain, open_archive(str(path)).names, SUFFIXES[kind or "pose"])
    elif kind == "h5":
        yield from _members(plain, list_h5(str(path)), "")
    else:
        yield plain


def _members(archive: ClipSource, names: Iterable[str], suffix: str) -> Iterator[ClipSource]:
    found = [name for name in sorted(names) if name.endswith(suffix)]
    if not found:
        raise DataError(f"{archive.path}: no {suffix or 'poses'} in it.")
    pose_format = archive.pose_format or PoseFormat()
    for name in found:
        full = f"{archive.path}/{name}"
        yield replace(archive, name=full, member=name, pose_format=pose_format)


def _is_openpose(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.name.endswith(FRAME_FILE) for entry in entries)
    except OSError:
        return False


def _walk(folder: Path, pose_format: PoseFormat | None) -> list[Path]:
    """The clips in a folder and in those inside, by their paths; links to folders aren't followed."""

    def fail(fault: OSError) -> None:
        raise DataError(f"{fault.filename}: can't be listed ({fault.strerror}).") from fault

    found = []
    wanted = (".pose", ".pose.zst") if pose_format is None else (SUFFIXES[pose_format.name],)
    takes_folders = pose_format is None or pose_format.name == "openpose"
    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = {name for name in files if not name.startswith(".")}
        if takes_folders and any(name.endswith(FRAME_FILE) for name in shown):
            found.append(Path(place))
            continue
        for name in shown:
            if wanted != ("",) and name.endswith(wanted):
                found.append(Path(place, name))
            elif pose_format is None and is_video(name):
                stem = name.rpartition(".")[0]
                if not shown & {f"{stem}.pose", f"{stem}.pose.zst"}:
                    found.append(Path(place, name))
    return sorted(found)


def read_clip_table(
    path: Path, *, pose_format: PoseFormat | None = None, pose_dir: Path | None = None
) -> Iterator[ClipSource]:
    """The clips of a table with a column `uid`, `path` or `pose_path`, and optionally `start` and `end` in seconds.

    Args:
        path: A .csv, .tsv or .jsonl file.
        pose_format: How the poses are stored; None finds out by the look of each.
        pose_dir: Where they are; None means beside the table, or in `poses` or `videos` there.

    Raises:
        DataError: If the table can't be read, a row is malformed, or there is no such folder.
    """
    if pose_dir is not None and not pose_dir.is_dir():
        raise DataError(
            f"{pose_dir}: no such folder. Name the one of the poses or videos that {path} lists."
        )
    folder = pose_dir or _folder_of(path)
    rows = _json_rows(path) if path.suffix.lower() == ".jsonl" else _text_rows(path)
    yield from _told_apart([_clip_of(row, where, folder, pose_format) for where, row in rows])


def _clip_of(
    row: dict[str, Any], where: str, folder: Path, pose_format: PoseFormat | None
) -> ClipSource:
    uid = str(row.get("uid") or "").strip()
    file = str(row.get("pose_path") or row.get("path") or "").strip()
    if not uid and not file:
        raise DataError(f"{where}: neither a uid nor a path. Expected one of them in each row.")
    place = folder / file if file else _find(folder, uid, pose_format)
    start, end = (_seconds(row.get(key), where) for key in ("start", "end"))
    return ClipSource(uid or file, str(place), start or 0.0, end, pose_format=pose_format)


def _told_apart(clips: Sequence[ClipSource]) -> Iterator[ClipSource]:
    """The clips; those that share a name, as parts of one file do, are named with their times, too."""
    counts = Counter(clip.name for clip in clips)
    for clip in clips:
        if counts[clip.name] > 1:
            end = "" if clip.end is None else f",{clip.end:g}"
            yield replace(clip, name=f"{clip.name}#t={clip.start:g}{end}")
        else:
            yield clip


def _folder_of(table: Path) -> Path:
    """Where the poses of a table are, if nobody says it."""
    inside = [table.parent / name for name in ("poses", "videos")]
    return next((folder for folder in inside if folder.is_dir()), table.parent)


def _find(folder: Path, uid: str, pose_format: PoseFormat | None) -> Path:
    """A clip's file by its id: of the formats that can be told by their names, the first that is there."""
    if pose_format is not None:
        return folder / f"{uid}{SUFFIXES.get(pose_format.name, '')}"
    names = [f"{uid}.pose", f"{uid}.pose.zst", uid]
    for name in names:
        if (folder / name).exists():
            return folder / name
    videos = sorted(each for each in folder.glob(f"{glob.escape(uid)}.*") if is_video(each.name))
    return videos[0] if videos else folder / names[0]


def _text_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    delimiter = TABLES[path.suffix.lower()]
    for row in read_rows(path, delimiter=delimiter, required=[_key(path, delimiter)], key=None):
        yield row.where, dict(row.values)


def _key(path: Path, delimiter: str) -> str:
    """The column by which a table names its clips; `uid` where it has none of them, to be missed."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            columns = [name.strip('" \r\n') for name in file.readline().split(delimiter)]
    except OSError as fault:
        raise unreadable(path, fault) from fault
    return next((name for name in ("uid", "pose_path", "path") if name in columns), "uid")


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, content in enumerate(file, start=1):
                if not content.strip():
                    continue
                where = f"{path}, line {line}"
                try:
                    row = json.loads(content)
                except (ValueError, RecursionError) as fault:
                    raise DataError(f"{where}: no JSON ({fault}).") from fault
                if not isinstance(row, dict):
                    raise DataError(f"{where}: a {type(row).__name__}; expected an object.")
                yield where, row
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: not UTF-8 ({fault.reason}). Save it as UTF-8.") from fault
    except OSError as fault:
        raise unreadable(path, fault) from fault


def _seconds(value: Any, where: str) -> float | None:
    if value is None or not str(value).strip():
        return None
    return parse_number(str(value).strip(), where=where)
