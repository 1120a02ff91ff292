"""Pages that play skeletons: the script that does it, and writing them whole."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from signseq.errors import DataError

__all__ = ["player_script", "write_whole"]


def player_script() -> str:
    """The script that every such page holds; it needs a `data` with `side` and `absent` before it."""
    return files("signseq.playing").joinpath("player.js").read_text(encoding="utf-8")


def write_whole(page: str, path: Path) -> None:
    """Write a page; a write that fails leaves no half one.

    Raises:
        DataError: If it can't be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as fault:
        raise DataError(f"{path}: can't be written ({fault.strerror}).") from fault
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
