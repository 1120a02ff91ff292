"""The verb serve."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from signseq.cli.app import TrustRemoteCode, app
from signseq.errors import MissingExtraError

__all__ = ["serve"]


@app.command()
def serve(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT|NAME=CHECKPOINT...",
            help="Folders that training wrote; the first is the default.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    batch_size: Annotated[int, typer.Option(help="Clips translated together, at most.")] = 32,
    max_wait_ms: Annotated[
        float, typer.Option(help="How long a clip waits for others, at most.")
    ] = 25.0,
    queue_size: Annotated[int, typer.Option(help="Clips that wait, at most; over it 503.")] = 128,
    max_upload_mb: Annotated[float, typer.Option(help="Largest body, in MiB.")] = 64.0,
    max_held_mb: Annotated[
        float, typer.Option(help="All bodies at once, in MiB; over it 503.")
    ] = 512.0,
    max_seconds: Annotated[float, typer.Option(help="Longest clip.")] = 60.0,
    request_timeout: Annotated[
        float, typer.Option(help="Seconds for a request, once its body is there.")
    ] = 60.0,
    video_timeout: Annotated[
        float, typer.Option(help="Seconds to find the poses of a video in, on top of it.")
    ] = 300.0,
    body_timeout: Annotated[float, typer.Option(help="Seconds for a body to arrive.")] = 30.0,
    max_uploads: Annotated[int, typer.Option(help="Requests in flight, at most.")] = 256,
    rate: Annotated[
        float, typer.Option(help="Requests per minute and client; 0: no bound.")
    ] = 300.0,
    api_keys: Annotated[
        Path | None, typer.Option(help="File of keys, one a line; or SIGNSEQ_API_KEYS=KEY,KEY.")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may call; repeatable.")
    ] = None,
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option(help="Network whose X-Forwarded-For is believed; repeatable."),
    ] = None,
    max_streams: Annotated[int, typer.Option(help="WebSockets open at once.")] = 64,
    max_streams_per_client: Annotated[int, typer.Option(help="Of them by one client.")] = 4,
    stream_idle_seconds: Annotated[
        float, typer.Option(help="How long a WebSocket may be silent.")
    ] = 30.0,
    dtype: Annotated[
        str, typer.Option(help="Of the weights: auto, float32, bfloat16, float16, int8.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    num_beams: Annotated[
        int | None, typer.Option(help="Where a request names none; default: the checkpoint's.")
    ] = None,
    max_beams: Annotated[int, typer.Option(help="The most that a request may name.")] = 10,
    max_n_best: Annotated[int, typer.Option(help="The most sentences of an answer.")] = 10,
    grace: Annotated[float, typer.Option(help="Seconds to finish in after SIGTERM.")] = 30.0,
    drain: Annotated[
        float, typer.Option(help="Seconds of /readyz 503 before connections are refused.")
    ] = 0.0,
    log_format: Annotated[str, typer.Option(help="json or text.")] = "json",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Serve models over HTTP and WebSockets, with a page to use them."""
    given: dict[str, Any] = dict(locals())
    for name in ("checkpoints", "dtype", "device", "trust_remote_code", "api_keys"):
        given.pop(name)
    given |= {"cors": tuple(cors or ()), "trusted_proxies": tuple(trusted_proxies or ())}
    from signseq.serving.memory import keep_few_kernels, share_heaps

    keep_few_kernels()  # before torch is loaded
    share_heaps()
    from signseq.serving.clients import read_keys
    from signseq.serving.settings import ServeSettings

    settings = ServeSettings(**given, api_keys=read_keys(api_keys))
    try:
        from signseq.serving import run
    except ModuleNotFoundError as fault:
        if (fault.name or "").split(".")[0] == "signseq":
            raise
        raise MissingExtraError(
            package=fault.name or "fastapi", extra="serve", purpose="`signseq serve`"
        ) from fault
    from signseq.translation import Translator

    load = partial(
        Translator.from_pretrained,
        trust_remote_code=trust_remote_code,
        dtype=dtype,
        device=device,
    )
    run.serve(checkpoints, settings, load=load)
