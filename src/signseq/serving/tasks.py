"""Ending tasks of the event loop whose outcome nobody awaits any more."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["end_tasks", "forget"]


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks, and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        forget(task)
    await asyncio.wait(
        running
    )  # not `gather`, which would hide that this one is cancelled meanwhile


def forget(task: asyncio.Task[Any]) -> None:
    """Cancel a task; if it fails instead, nobody is told."""
    task.add_done_callback(_take_note)
    task.cancel()


def _take_note(task: asyncio.Task[Any]) -> None:
    """Ask for its fault, or asyncio would log that nobody did."""
    if not task.cancelled():
        task.exception()
