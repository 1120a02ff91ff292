"""transformers draws bars of its own while it reads and writes weights; ours say what matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

__all__ = ["no_progress_bars"]


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars; afterwards all is as it was."""
    were_enabled = transformers_logging.is_progress_bar_enabled()
    if were_enabled:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_enabled:
            transformers_logging.enable_progress_bar()
