"""What can go wrong, as types.

SignSeqError                 everything below; the command line prints its message, without a traceback
├── ConfigError              the YAML file or an override
├── PoseError                one pose file or sequence
│   └── PoseAccessError      one that the system does not give now, and perhaps later
├── DataError                a table, a corpus or a store
├── ModelError               a text model that is not there, or that does not fit
├── CheckpointError          a checkpoint folder
├── StoppedError             a run that was told to stop, and has saved what it needs to go on
└── MissingExtraError        an optional dependency that is not installed
"""

from __future__ import annotations

from functools import partial
from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "ModelError",
    "PoseAccessError",
    "PoseError",
    "SignSeqError",
    "StoppedError",
]


class SignSeqError(Exception):
    """A mistake that the user can mend; its message says what, where, what was expected, what to do.

    Attributes:
        exit_code: What the command line ends with.
    """

    exit_code = 1


class ConfigError(SignSeqError):
    """The configuration is wrong."""


class PoseError(SignSeqError):
    """A pose file or sequence can't be used."""


class PoseAccessError(PoseError):
    """A pose file can't be read now, but perhaps later: no permission, a lock, a network drive that fails."""


class DataError(SignSeqError):
    """A table, a corpus or a store can't be used."""


class ModelError(SignSeqError):
    """A text model or tokenizer can't be found, or can't be used for translation."""


class CheckpointError(SignSeqError):
    """A checkpoint folder can't be used."""


class StoppedError(SignSeqError):
    """A run was told to stop by a signal; what it goes on from is saved."""

    exit_code = 75  # "temporary failure, try again", by sysexits.h


class MissingExtraError(SignSeqError):
    """An optional dependency is missing."""

    def __init__(self, *, package: str, extra: str, purpose: str, note: str = "") -> None:
        self._arguments = {"package": package, "extra": extra, "purpose": purpose, "note": note}
        super().__init__(
            f"{purpose} needs the package {package!r}. Install it with: pip install 'signseq[{extra}]'"
            f"{f'. {note}' if note else ''}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(MissingExtraError, **self._arguments), ()  # as raised in a worker process
