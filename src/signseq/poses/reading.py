"""Why poses can't be read: for good, as they are not there, or perhaps only now."""

from __future__ import annotations

import errno

from signseq.errors import PoseAccessError, PoseError

__all__ = ["may_pass", "unreadable"]

# What lies in the path itself; all else (permission, a network drive, too many open files) may be gone next time.
LASTING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


def may_pass(fault: BaseException) -> bool:
    """Whether a fault is the system's, and not the path's or the content's; libraries' own have no number."""
    return isinstance(fault, OSError) and fault.errno is not None and fault.errno not in LASTING


def unreadable(name: str, fault: OSError) -> PoseError:
    """The error for a file that the system doesn't give; a PoseAccessError where it may do so later.

    Args:
        name: What to call the file.
        fault: What the system says.
    """
    if isinstance(fault, FileNotFoundError):
        return PoseError(f"{name}: no such file.")
    said = f"{name}: can't be read ({fault.strerror or fault})."
    return PoseAccessError(said) if may_pass(fault) else PoseError(said)
