from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signseq.errors import PoseError
from signseq.poses.sources.pickles import read_pickle

DATA = {
    "numbers": [1, 2.5, 1 + 2j, None, True, 2**70],
    "texts": ("we", "我们", b"\x00\xff"),
    "sets": {frozenset({1, 2})},
    "array": np.arange(12, dtype=np.float32).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "half": np.float16([0.5, 1.5]),
    "scalar": np.float64(2.5),
    "bytes": bytearray(b"12"),
    "texts in an array": np.array(["we", "eat"]),
    "ragged": np.array([np.zeros(2), np.zeros(3)], dtype=object),
}


def read(content: bytes) -> Any:
    return read_pickle(content, name="a.pkl", allowed=True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_of_every_protocol_come_back_as_they_were(protocol: int) -> None:
    found = read(pickle.dumps(DATA, protocol))
    assert list(found) == list(DATA)
    for name, value in DATA.items():
        if not isinstance(value, np.ndarray):
            assert found[name] == value
        elif name == "ragged":
            assert [len(row) for row in found[name]] == [2, 3]
        else:
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype


def test_arrays_of_numpy_1_are_read() -> None:
    content = pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(read(content), np.arange(3))


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("depth", ["top", "inside"])
def test_code_never_runs(tmp_path: Path, protocol: int, depth: str) -> None:
    bomb: Any = Call(os.mkdir, str(tmp_path / "ran"))
    content = pickle.dumps(bomb if depth == "top" else {"keypoints": [bomb]}, protocol)
    pickle.loads(content)
    assert (tmp_path / "ran").exists()  # so that the test can fail
    (tmp_path / "ran").rmdir()
    with pytest.raises(
        PoseError, match=r"a\.pkl: asks for posix\.mkdir, which is no data; nothing of it"
    ):
        read(content)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Call(eval, "1")),
        pickle.dumps(Call(getattr, "a", "upper")),
        pickle.dumps(Call(__import__, "os")),
        pickle.dumps(Path("a")),
        pickle.dumps(print),
        pickle.dumps(DATA.__class__),
        pickle.dumps(np.load),
        pickle.dumps(np.random.default_rng(0)),
        pickle.dumps(Call(np.ndarray, (2,))),  # only what makes an array out of data
        pickle.dumps(Call(np.dtype, [("a", "f4")])),
        b"cnumpy\nndarray\n(K\x05tR.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zip" + b"tR.",
        b"Psomething outside\n.",
    ],
)
def test_whatever_is_not_data_is_an_error(content: bytes) -> None:
    with pytest.raises(PoseError, match=r"a\.pkl"):
        read(content)


@pytest.mark.parametrize("length", [0, 1, 10, 200, -1])
def test_a_pickle_that_is_cut_off_is_an_error(length: int) -> None:
    with pytest.raises(PoseError, match=r"a\.pkl: no whole pickle of plain data"):
        read(pickle.dumps(DATA)[:length])


def test_damage_only_ever_gives_our_error() -> None:
    rng = np.random.default_rng(0)
    contents = [pickle.dumps(DATA, protocol) for protocol in (2, 4, 5)]
    for turn in range(3000):
        damaged = bytearray(contents[turn % 3])
        for place in rng.integers(len(damaged), size=2):
            damaged[place] = rng.integers(256)
        with suppress(PoseError):
            read(bytes(damaged))


def test_nothing_is_read_where_pickles_are_not_allowed(tmp_path: Path) -> None:
    with pytest.raises(
        PoseError, match=r"a pickle, which can run code .* data\.allow_pickle: true"
    ):
        read_pickle(tmp_path / "none.pkl", name="none.pkl", allowed=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoseError, match=r"none\.pkl: no such file\."):
        read_pickle(tmp_path / "none.pkl", name="none.pkl", allowed=True)
