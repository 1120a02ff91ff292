"""How the command line speaks and how it ends: logging, error messages, exit codes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import typer

from signseq.errors import SignSeqError, StoppedError

__all__ = ["EXIT_FILE", "configure_logging", "run_command_line", "speaks"]

INTERRUPTED = 130
BEGIN_ANEW = ("translate", "subtitle", "view")  # or say themselves how they go on
EXIT_FILE = "SIGNSEQ_EXIT_FILE"  # names a file in which a stopped run leaves its exit code
FIRST_SECONDS = 4.0  # that another process waits before it says what went wrong
DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM)
# safetensors and torch write files themselves, and raise no OSError.
SIGNS_OF_A_FULL_DISK = ("No space left on device", "iostream error", "PytorchStreamWriter")


def speaks() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def configure_logging() -> None:
    """Our own messages, bare; other libraries' only when something is wrong; one process speaks."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING if speaks() else logging.ERROR)
    logging.getLogger("signseq").setLevel(logging.INFO if speaks() else logging.ERROR)
    # their retries and missing accelerators; we say what failed
    for chatty in ("bitsandbytes", "huggingface_hub", "httpx", "transformers"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def run_command_line(app: Callable[..., Any]) -> NoReturn:
    """Run the command line; mistakes end with one message and exit code 1, Ctrl-C with 130.

    Args:
        app: The typer application.
    """
    _take_own_descriptor()
    configure_logging()
    try:
        code = app(prog_name="signseq", standalone_mode=False)
        if code == INTERRUPTED:  # newer typer catches Ctrl-C itself
            raise KeyboardInterrupt
    except SignSeqError as fault:
        if not isinstance(fault, StoppedError):
            _leave(f"error: {fault}", fault.exit_code)
        if file := os.environ.get(EXIT_FILE):  # the launcher's, as torchrun hands on no exit codes
            Path(file).write_text(str(fault.exit_code), encoding="utf-8")
        _leave(str(fault) if speaks() else "", fault.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        verb = "".join(sys.argv[1:2])
        how = " with --resume" if verb == "train" else ""
        kept = f" What was saved is kept: run the same command again{how}."
        _leave(f"Interrupted.{'' if verb in BEGIN_ANEW else kept}", INTERRUPTED)
    except Exception as fault:
        if reason := _disk_problem(fault):
            _leave(f"error: {reason}. What was finished is kept.", 1)
        if not (
            show := getattr(fault, "show", None)
        ):  # the parser's own complaints know how to print themselves
            _let_first_speak()
            raise
        show()
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _take_own_descriptor() -> None:
    """Write messages elsewhere than to descriptor 2, which is silenced while MediaPipe works in another thread."""
    stream = sys.__stderr__
    if stream is not None and sys.stderr is stream:
        own = os.dup(stream.fileno())
        sys.stderr = os.fdopen(
            own, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace"
        )


def _disk_problem(fault: BaseException | None) -> str | None:
    """What is wrong with the disk, if that is why a verb failed; None if it is not."""
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in DISK_PROBLEMS:
            return f"{fault.filename or 'disk'}: {fault.strerror}"
        if any(sign in str(fault) for sign in SIGNS_OF_A_FULL_DISK):
            return "a file could not be written to its end; the disk is full, perhaps"
        fault = fault.__cause__ or fault.__context__
    return None


def _let_first_speak() -> None:
    """Most mistakes meet all processes alike; torchrun ends the others as soon as the first one ends."""
    if not speaks():
        time.sleep(FIRST_SECONDS)


def _leave(message: str, code: int) -> NoReturn:
    _let_first_speak()
    if message:
        # in silence, the first one is well: it's a matter of this process
        name = "" if speaks() else f"process {os.environ['RANK']}: "
        print(f"{name}{message}", file=sys.stderr)
    sys.exit(code)
