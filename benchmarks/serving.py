"""How fast `signseq serve` answers, and whether it keeps answering right.

    python benchmarks/serving.py checkpoints/demo data/sentences/poses [--clips 40] [--seconds 8]
    python benchmarks/serving.py checkpoints/demo data/sentences/poses --size t5-small
    python benchmarks/serving.py checkpoints/demo data/sentences/poses --soak 15

Starts servers of its own on this machine, and ends them. Prints one JSON object. Without --soak: time
to first and full text of a 5 s clip (the first over the WebSocket, fed in real time; the full one by
POST), and requests per second of 1, 8 and 32 clients, batched beside one at a time, with the processor
time that server and clients take for each. With --soak: as
many clients as the queue takes for so many minutes, bad requests among them; each answer is compared
with the translator's own. --size t5-small gives the checkpoint a text model of T5-small's size with
random weights, whose texts mean nothing, or are empty, and take 32 tokens each; give it more --seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import websockets

from signseq.poses.sequence import PoseSequence, read_pose
from signseq.poses.transforms import pose_at
from signseq.translation import Translator

CLIENTS = (1, 8, 32)
CLIP_SECONDS = 5.0
TOKENS = 32  # that a text of --size takes; about a sentence
MOST_GROWTH = 0.05  # of the memory, between the halves of a soak's last three quarters
SMALLEST_SHARE = 3.0  # batched beside one at a time, at 32 clients
BAD = (b"", b"nothing that is known", b'{"fps": 25, "keypoints": [], "frames": []}', b"SGQ1" * 99)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("poses", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=20, help="latencies measured")
    parser.add_argument("--beams", type=int, help="default: the checkpoint's")
    parser.add_argument("--size", choices=["t5-small"])
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--clients", type=int, default=32, help="of --soak")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint
        if options.size:
            checkpoint = enlarge(checkpoint, Path(folder, "t5-small"))
        paths = sorted(options.poses.glob("*.pose"))[: options.clips]
        bodies = [path.read_bytes() for path in paths]
        translator = Translator.from_pretrained(checkpoint)
        texts = [
            one.text for one in translator.stream(bodies, num_beams=options.beams, batch_size=1)
        ]
        given = [] if options.beams is None else ["--num-beams", str(options.beams)]
        result: dict[str, Any] = {"clips": len(bodies), "different_texts": len(set(texts))}
        if options.soak:
            with server(checkpoint, *given) as (address, process):
                work = soak(
                    address,
                    bodies,
                    texts,
                    clients=options.clients,
                    seconds=60 * options.soak,
                    memory=lambda: resident(process.pid),
                )
                result |= asyncio.run(work)
        else:
            result |= measure(
                checkpoint, given, bodies, texts, seconds=options.seconds, rounds=options.rounds
            )
    print(json.dumps(result, indent=1))


def measure(
    checkpoint: Path,
    given: list[str],
    bodies: list[bytes],
    texts: list[str],
    *,
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    result: dict[str, Any] = {}

    def rates(address: str, process: int) -> dict[int, Any]:
        return {
            clients: asyncio.run(load(address, bodies, texts, clients, seconds, process=process))
            for clients in CLIENTS
        }

    with server(checkpoint, *given) as (address, running):
        clip = stretch(read_pose(bodies[0]), CLIP_SECONDS)
        result["clip_seconds"] = clip.seconds
        result["full_text_ms"] = asyncio.run(time_posts(address, clip, rounds))
        result["stream_ms"] = asyncio.run(time_streams(address, clip, rounds))
        batched = rates(address, running.pid)
    with server(checkpoint, *given, "--batch-size", "1") as (address, running):
        alone = rates(address, running.pid)
    result["batched"], result["one_at_a_time"] = batched, alone
    share = batched[32]["per_second"] / alone[32]["per_second"]
    return result | {"batched_beside_one_at_a_time_32": round(share, 2), "wanted": SMALLEST_SHARE}


@contextmanager
def server(checkpoint: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and process; told to stop in the end, and killed if it doesn't."""
    command = [sys.executable, "-m", "signseq", "serve", f"model={checkpoint}", "--port", "0"]
    command += ["--rate", "0", "--max-streams-per-client", "64", *arguments]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            yield wait_for_address(process, log), process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_address(process: subprocess.Popen[str], log: Any) -> str:
    for _ in range(600):
        log.seek(0)
        lines = log.read().splitlines()
        for line in lines:
            if '"Serving' in line:
                return str(json.loads(line)["message"].split()[-1])
        if process.poll() is not None:
            raise SystemExit("\n".join(lines))
        time.sleep(0.1)
    raise SystemExit("The server did not start within a minute.")


def stretch(pose: PoseSequence, seconds: float) -> PoseSequence:
    """The same movements in another time."""
    frames = round(seconds * pose.fps)
    return pose_at(pose, np.linspace(0, len(pose) - 1, frames))


def landmarks(pose: PoseSequence, *, timed: bool) -> list[bytes]:
    """The frames of the compact form."""
    points = np.concatenate([pose.data, pose.confidence[..., None]], axis=-1).reshape(len(pose), -1)
    if timed:
        points = np.column_stack([np.arange(len(pose)) / pose.fps, points])
    return [frame.astype("<f4").tobytes() for frame in points]


def as_body(pose: PoseSequence) -> bytes:
    header = {"fps": pose.fps, "keypoints": list(pose.keypoints), "frames": len(pose)}
    packed = json.dumps(header).encode()
    frames = landmarks(replace(pose), timed=False)
    return b"".join([b"SGQ1", len(packed).to_bytes(4, "little"), packed, *frames])


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"median": round(1000 * statistics.median(ordered), 1), "p95": round(1000 * last, 1)}


async def time_posts(address: str, pose: PoseSequence, rounds: int) -> dict[str, float]:
    taken, body = [], as_body(pose)
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        for _ in range(rounds):
            begun = time.perf_counter()
            (await client.post("/v1/translate", content=body)).raise_for_status()
            taken.append(time.perf_counter() - begun)
    return spread(taken)


async def time_streams(address: str, pose: PoseSequence, rounds: int) -> dict[str, Any]:
    """First text since the first frame, and final text since the last one; frames come in real time."""
    first, final = [], []
    for _ in range(max(2, rounds // 5)):
        async with websockets.connect(f"ws{address[4:]}/v1/stream") as socket:
            start = {"type": "start", "keypoints": list(pose.keypoints), "partial_seconds": 0.5}
            await socket.send(json.dumps(start))
            assert json.loads(await socket.recv())["type"] == "ready"
            begun, heard = time.perf_counter(), asyncio.create_task(hear(socket))
            for number, frame in enumerate(landmarks(pose, timed=True)):
                await asyncio.sleep(begun + number / pose.fps - time.perf_counter())
                await socket.send(frame)
            ended = time.perf_counter()
            await socket.send('{"type": "end"}')
            partial, end = await asyncio.wait_for(heard, 60)
            first += [] if partial is None else [partial - begun]
            final.append(end - ended)
    return {"first_text_after_first_frame": spread(first), "final_text_after_end": spread(final)}


async def hear(socket: Any) -> tuple[float | None, float]:
    partial = None
    while True:
        found = json.loads(await socket.recv())
        if found["type"] == "partial" and partial is None:
            partial = time.perf_counter()
        if found["type"] == "final":
            return partial, time.perf_counter()
        if found["type"] == "error":
            raise SystemExit(found["message"])


async def load(
    address: str,
    bodies: list[bytes],
    texts: list[str],
    clients: int,
    seconds: float,
    *,
    process: int,
) -> dict[str, Any]:
    """So many clients, each with one request at a time; the first tenth isn't counted.

    They are plain sockets: httpx takes as long for a request as the server for a clip of a full batch.
    """
    counts, taken = Counter[str](), list[float]()
    host, port = address.removeprefix("http://").split(":")
    head = "POST /v1/translate HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n"
    requests = [head.format(host, len(body)).encode() + body for body in bodies]
    begun = time.perf_counter()
    counted, end = begun + 0.1 * seconds, begun + 1.1 * seconds

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while (sent := time.perf_counter()) < end:
            number = (number + 7) % len(bodies)
            writer.write(requests[number])
            status, answer = await read_answer(reader)
            done = time.perf_counter()
            if counted <= done < end:
                counts[judge(status, answer, texts[number])] += 1
                taken.append(done - sent)
        writer.close()

    async def measure() -> tuple[float, float]:
        await asyncio.sleep(counted - time.perf_counter())
        before, own = processor_seconds(process), time.process_time()
        await asyncio.sleep(end - time.perf_counter())
        return processor_seconds(process) - before, time.process_time() - own

    *_, (server, own) = await asyncio.gather(*map(one, range(clients)), measure())
    share = 1000 / max(1, len(taken))
    return {
        "per_second": round(counts["right"] / seconds, 2),
        **spread(taken or [0.0]),
        "server_processor_ms": round(server * share, 2),
        "client_processor_ms": round(own * share, 2),
        "answers": dict(counts),
    }


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def processor_seconds(process: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def many(address: str, clients: int, one: Callable[..., Any]) -> None:
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client, number) for number in range(clients)))


def judge(status: int, answer: bytes, text: str) -> str:
    if status != 200:
        return str(status)
    return "right" if json.loads(answer)["text"] == text else "wrong"


async def soak(
    address: str,
    bodies: list[bytes],
    texts: list[str],
    *,
    clients: int,
    seconds: float,
    memory: Callable[[], float],
) -> dict[str, Any]:
    """Every tenth request is bad; a client that meets 503 waits as long as it is told."""
    counts, taken, sizes = Counter[str](), list[float](), list[float]()
    end = time.perf_counter() + seconds

    async def one(client: httpx.AsyncClient, number: int) -> None:
        turn = number
        while (sent := time.perf_counter()) < end:
            turn += 1
            if turn % 10 == 0:
                answer = await client.post("/v1/translate", content=BAD[turn // 10 % len(BAD)])
                counts[f"bad: {answer.status_code}"] += 1
                continue
            number = (number + 7) % len(bodies)
            counts["sent"] += 1
            answer = await client.post("/v1/translate", content=bodies[number])
            counts[judge(answer.status_code, answer.content, texts[number])] += 1
            taken.append(time.perf_counter() - sent)
            if answer.status_code == 503:
                await asyncio.sleep(float(answer.headers["retry-after"]))

    async def watch() -> None:
        while time.perf_counter() < end:
            sizes.append(memory())
            await asyncio.sleep(seconds / 60)

    watching = asyncio.create_task(watch())
    await many(address, clients, one)
    await watching
    answered = counts["right"] + counts["wrong"] + counts["503"]
    settled = sizes[len(sizes) // 4 :]  # caches fill in the first quarter
    half = len(settled) // 2  # single sizes go up and down with what is in flight
    before, after = statistics.median(settled[:half]), statistics.median(settled[half:])
    return {
        "minutes": seconds / 60,
        "per_second": round(counts["right"] / seconds, 2),
        **spread(taken),
        "answers": dict(counts),
        "lost": counts["sent"] - answered,
        "wrong": counts["wrong"],
        "memory_mib": {
            "after_a_quarter": settled[0],
            "at_the_end": settled[-1],
            "most": max(sizes),
            "growth": round(after / before - 1, 3),
        },
        "passed": counts["sent"] == answered
        and after < (1 + MOST_GROWTH) * before
        and not counts["wrong"]
        and not any(name.startswith(("5", "bad: 5")) and name != "503" for name in counts),
    }


def resident(process: int) -> float:
    """MiB that a process holds (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return round(
        next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024, 1
    )


def enlarge(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint's recipe with a T5 of T5-small's size, of random weights."""
    import torch

    from signseq.config import ModelConfig
    from signseq.model.building import build_model, build_text_side
    from signseq.model.text_models import load_text_model

    old = Translator.from_pretrained(checkpoint)
    torch.manual_seed(0)
    size = {"width": 512, "layers": 6, "heads": 8, "feed_forward": 2048}
    wanted = {"name": "t5", "from_scratch": True, "size": size, "config": {"vocab_size": 32128}}
    text_model = load_text_model(ModelConfig.model_validate(wanted), old.tokenizer)
    config, recipe = old.model.config, old.model.config.recipe
    shape = (len(config.keypoints), recipe["dimensions"])
    model = build_model(
        text_model,
        encoder={"type": "conv", "stride": 4, "width": 512, "positions": "auto"},
        recipe=recipe,
        mean=torch.zeros(shape),
        spread=torch.ones(shape),
        keypoints=config.keypoints,
        max_frames=config.max_frames,
        text_side=build_text_side(text_model, old.tokenizer, max_length=96),
    )
    model.config.generation = {**(model.config.generation or {}), "min_new_tokens": TOKENS}
    model.save_pretrained(folder)
    old.tokenizer.save_pretrained(folder)
    text = (checkpoint / "config.yaml").read_text(encoding="utf-8")
    text = re.sub(r"max_new_tokens: \d+", f"max_new_tokens: {TOKENS}", text)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
