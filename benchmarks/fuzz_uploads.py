"""Damaged uploads against a real server: every one gets 200 or a 4xx with a message, soon; memory stays flat.

    python benchmarks/fuzz_uploads.py CHECKPOINT POSE... [--count 10000] [--clients 2]

Starts `signseq serve CHECKPOINT` on loopback, posts mutations of these .pose files (seeded: bits
flipped, cut, grown, absurd headers and numbers, other forms of the same clip), and ends with exit
code 1 if one answer was something else, took more than five seconds, or the server ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from mutations import mutations

SLOWEST = 5.0  # seconds
WARM_UP = 200  # uploads, before memory is looked at
GROWTH = 0.05  # of the memory after warming up, which may come on top
START_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("poses", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    port = free_port()
    command = [sys.executable, "-m", "signseq", "serve", options.checkpoint, "--port", str(port)]
    command += ["--rate", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, server)
            contents = [path.read_bytes() for path in options.poses]
            return fuzz(url, server, contents, options)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def fuzz(
    url: str, server: subprocess.Popen[bytes], contents: list[bytes], options: argparse.Namespace
) -> int:
    here, wrong, codes, slowest = local(), [], Counter[int](), 0.0

    def post(numbered: tuple[int, bytes]) -> tuple[int, int, str, float]:
        number, body = numbered
        if not hasattr(here, "client"):
            here.client = httpx.Client(timeout=60, trust_env=False)
        begun = time.monotonic()
        try:
            answer = here.client.post(f"{url}/v1/translate", content=body)
        except httpx.HTTPError as fault:
            return number, 0, type(fault).__name__, time.monotonic() - begun
        seconds = time.monotonic() - begun
        status = answer.status_code
        message = "" if status == 200 else answer.json().get("error", {}).get("message", "")
        return number, status, message, seconds

    before = 0
    begun = time.monotonic()
    with ThreadPoolExecutor(options.clients) as pool:
        damaged = enumerate(mutations(contents, options.count, seed=options.seed))
        # In portions: `map` would make all of them at once.
        while portion := [each for _, each in zip(range(100), damaged, strict=False)]:
            for number, status, message, seconds in pool.map(post, portion):
                codes[status] += 1
                slowest = max(slowest, seconds)
                answered = status == 200 or (400 <= status < 500 and message)
                if not answered or seconds > SLOWEST:
                    wrong.append((number, status, message, round(seconds, 2)))
            if not before and codes.total() >= min(WARM_UP, options.count):
                before = memory_of(server.pid)
    after = memory_of(server.pid)
    rate = codes.total() / (time.monotonic() - begun)
    print(f"{codes.total()} uploads, {rate:.0f} a second, the slowest {slowest:.2f} s")
    print("answers:", ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    print(f"memory: {before >> 20} MiB after the first {WARM_UP}, {after >> 20} MiB at the end")
    for number, status, message, seconds in wrong[:20]:
        print(f"WRONG: mutation {number}: {status} {message!r} after {seconds} s")
    ended = server.poll() is not None
    grown = after > before * (1 + GROWTH)
    print("the server ended" if ended else "the server lives", "- memory grew" if grown else "")
    return int(bool(wrong) or ended or grown)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 2):
        if server.poll() is not None:
            sys.exit("The server ended before it was ready; run the same `signseq serve` by hand.")
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    sys.exit(f"The server was not ready after {START_SECONDS} s.")


def memory_of(pid: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
