"""Keeping transformers from saying what doesn't concern a user; signseq says what matters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

__all__ = ["errors_only", "no_progress_bars"]


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


@contextmanager
def errors_only() -> Iterator[None]:
    """Keep transformers from warning, where we know better; afterwards all is as it was."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(max(before, logging.ERROR))
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
