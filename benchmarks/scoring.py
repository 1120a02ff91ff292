"""How long scoring takes: 100,000 made-up pairs of 13 words, plain and with confidence intervals.

    python benchmarks/scoring.py [PAIRS]

Prints wall-clock and CPU seconds of `score`, each with the peak memory of its own process.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from itertools import accumulate

WORDS = 8000
LONGEST = 40


def make_pairs(count: int) -> tuple[list[str], list[str]]:
    """References with Zipf's frequencies, and hypotheses with half of the words right, some moved."""
    rng = random.Random(0)
    letters = "abcdefghijklmnoprstuvw"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    hypotheses, references = [], []
    for _ in range(count):
        reference = rng.choices(
            words, cum_weights=weights, k=min(max(1, round(rng.gauss(13, 5))), LONGEST)
        )
        hypothesis = []
        for word in reference:
            chance = rng.random()
            if chance < 0.55:
                hypothesis.append(word)
            if 0.45 < chance < 0.9:
                hypothesis += rng.choices(words, cum_weights=weights)
        if len(hypothesis) > 3 and rng.random() < 0.4:
            hypothesis.insert(rng.randrange(len(hypothesis)), hypothesis.pop())
        references.append(" ".join(reference).capitalize() + ".")
        hypotheses.append(" ".join(hypothesis).capitalize() + ".")
    return hypotheses, references


def _cpu_seconds() -> float:
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(pairs: int, resamples: int) -> None:
    from signseq.metrics import score

    hypotheses, references = make_pairs(pairs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    score(hypotheses[:10], references[:10])  # imports
    start, start_cpu = time.perf_counter(), _cpu_seconds()
    found = score(hypotheses, references, resamples=resamples)
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - start_cpu
    own, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak, peak_others = own.ru_maxrss / 1024, others.ru_maxrss / 1024
    print(
        f"{pairs:,} pairs, {resamples:,} resamples: {seconds:.1f} s, {cpu:.1f} CPU s, peak {peak:.0f} MiB and "
        f"{peak_others:.0f} in the larger of two processes beside it "
        f"({before:.0f} of them before); BLEU-4 {found.bleu4:.2f} {found.intervals.get('bleu4', '')}"
    )


if __name__ == "__main__":
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        measure(pairs, int(sys.argv[2]))
    else:
        for resamples in (0, 1000):
            subprocess.run([sys.executable, __file__, str(pairs), str(resamples)], check=True)
