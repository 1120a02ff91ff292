"""What packs the shards of a store: processes of this machine, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, get_args

from signseq.data.packing import pack_shards
from signseq.data.shard_reports import ShardReport
from signseq.errors import ConfigError

__all__ = ["Engine", "PackShards", "open_engine"]

Engine = Literal["processes", "ray"]
PackShards = Callable[..., list[ShardReport]]  # `pack_shards`, its `workers` given


@contextmanager
def open_engine(name: Engine, *, workers: int | None) -> Iterator[PackShards]:
    """Open what packs shards; a cluster is looked for at once, connected to at its first use, and left in the end.

    Args:
        name: Which one.
        workers: Shards that are packed at a time; None means one per core.

    Raises:
        ConfigError: If there is no such engine.
        DataError: If no cluster is where one should be.
        MissingExtraError: If it needs a package that isn't installed.
    """
    if name == "processes":
        yield partial(pack_shards, workers=workers or os.cpu_count() or 1)
        return
    if name != "ray":
        raise ConfigError(f"No engine {name!r}; there are: {', '.join(get_args(Engine))}.")
    from signseq.data.ray_packing import RayCluster

    with RayCluster(workers=workers) as cluster:
        yield cluster.pack_shards
