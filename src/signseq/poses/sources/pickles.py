"""Pickles that hold nothing but data: whatever else one asks for is refused, never run.

A pickle is a program. This reader of theirs knows numpy's arrays and scalars and Python's own
containers, numbers and texts; a pickle that names any other function or class is an error. It is
still only for files that somebody trusts: see `data.allow_pickle`.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signseq.errors import PoseError
from signseq.poses.reading import unreadable

__all__ = ["read_pickle"]

ARRAY = object()  # stands for the class of arrays, which could do more than be named
PLAIN_TYPE = re.compile(r"[<>=|]?[?biufcSU]\d*|O8?")
FAULTS = (
    *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError),
    *(BufferError, MemoryError, OverflowError, RecursionError, TypeError, ValueError),
)


def read_pickle(content: str | Path | bytes, *, name: str, allowed: bool) -> Any:
    """Read a pickle of plain data.

    Args:
        content: A path, or the bytes.
        name: What to call it in messages.
        allowed: Whether the user has said that pickles may be read (`data.allow_pickle`).

    Raises:
        PoseError: If they may not, it holds anything but data, or it is damaged.
    """
    if not allowed:
        raise PoseError(
            f"{name}: a pickle, which can run code when it is read. If you trust who made it, set "
            "data.allow_pickle: true; even then only numbers, texts and containers are read."
        )
    try:
        file = io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb")  # noqa: SIM115
    except OSError as fault:
        raise unreadable(name, fault) from fault
    with file:
        try:
            return _DataUnpickler(file, name).load()
        except OSError as fault:
            raise unreadable(name, fault) from fault
        except FAULTS as fault:
            raise PoseError(
                f"{name}: no whole pickle of plain data ({type(fault).__name__}: {fault}). Fetch it anew."
            ) from fault


class _DataUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        super().__init__(file, encoding="latin1")  # as Python 2 wrote arrays
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        known = ALLOWED.get((module.replace("numpy.core.", "numpy._core."), name))
        if known is None:
            raise PoseError(
                f"{self._name}: asks for {module}.{name}, which is no data; nothing of it was run. Expected "
                "arrays, numbers, texts, lists and dicts. Don't trust this file."
            )
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise PoseError(f"{self._name}: refers to something outside of itself ({pid!r}).")


class _Type:
    """Stands for a numpy type while a pickle is read, so that the pickle can't shape one at will."""

    def __init__(self, text: str, *_flags: bool) -> None:
        if not isinstance(text, str) or not PLAIN_TYPE.fullmatch(text):
            raise ValueError(f"no plain type of numbers: {text!r}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *details = state
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"no order of bytes: {order!r}")
        if details[:3] != [None, None, None]:
            raise ValueError("no plain type of numbers, but a structure")
        if order != "|":
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """An array whose content is checked before numpy, which trusts pickles, sees it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        size = math.prod(_check_shape(shape))
        if not isinstance(kind, _Type) or not isinstance(is_fortran, bool):
            raise ValueError("no plain array")
        if kind.dtype.hasobject:
            is_whole = isinstance(content, list) and len(content) == size
        else:
            is_whole = isinstance(content, bytes) and len(content) == size * kind.dtype.itemsize
        if not is_whole:
            raise ValueError(f"the content doesn't fill an array of shape {shape}")
        super().__setstate__((1, shape, kind.dtype, is_fortran, content))  # type: ignore[arg-type]


def _check_shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"no shape of an array: {shape!r}")
    return shape


def _empty_array(kind: object, shape: tuple[int, ...], _dtype: bytes) -> _Array:
    """What `__setstate__` fills next."""
    if kind is not ARRAY or shape != (0,):
        raise ValueError("no plain array")
    return np.empty(0, "b").view(_Array)


def _array_of(
    content: bytes, kind: _Type, shape: tuple[int, ...], order: str, axes: Any = None
) -> NDArray[Any]:
    """How protocol 5 writes arrays; numpy refuses types that hold objects."""
    numbers = np.frombuffer(content, kind.dtype)
    if axes is not None:
        return numbers.reshape(_check_shape(shape)).transpose(_check_shape(axes))
    return numbers.reshape(_check_shape(shape), order="F" if order == "F" else "C")


def _scalar(kind: _Type, content: bytes | str) -> Any:
    return np.frombuffer(
        content.encode("latin1") if isinstance(content, str) else content, kind.dtype
    )[0]


def _bytes_of(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding != "latin1":
        raise ValueError(f"no plain bytes: {encoding!r}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): ARRAY,
    ("numpy", "dtype"): _Type,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _array_of,
    ("_codecs", "encode"): _bytes_of,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytearray"): bytearray,
    ("builtins", "complex"): complex,
    # As Python 2, and protocols before 3, call them.
    ("__builtin__", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
    ("__builtin__", "bytearray"): bytearray,
    ("__builtin__", "complex"): complex,
}
