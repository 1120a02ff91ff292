"""Moves of whole phrases, which TER counts as one edit each: tercom's search, as sacreBLEU has it."""

from __future__ import annotations

from collections.abc import Iterator

from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.lib_ter import BeamEditDistance

from signseq.metrics.alignment import BEAM, Alignment

__all__ = ["MOST_CANDIDATES", "Search", "best_shift"]

# tercom's and sacreBLEU's own limits
LONGEST_PHRASE = 10
FARTHEST = 50
MOST_CANDIDATES = 1000


class Search:
    """One pair while its phrases are moved.

    Args:
        hypothesis: Its words as single characters.
        reference: The same.
    """

    def __init__(self, hypothesis: str, reference: str) -> None:
        self.hypothesis, self.reference = hypothesis, reference
        self.candidates = self.shifts = 0
        self._beam: BeamEditDistance | None = None

    def distance(self, words: str, limit: int) -> int:
        """Edits from words to the reference; anything of at least `limit` where they are that many."""
        found: int = Levenshtein.distance(words, self.reference)
        # So few edits stay near the diagonal, where tercom looks; else its beam may miss some way.
        if found >= limit or found + abs(len(words) - len(self.reference)) + 1 < BEAM:
            return found
        if self._beam is None:
            self._beam = BeamEditDistance(list(self.reference))
        return int(self._beam(list(words))[0])


def best_shift(search: Search, alignment: Alignment) -> str | None:
    """The hypothesis with the phrase moved that brings it nearest; None where no move helps."""
    best: tuple[int, int, int, int] | None = None
    moved = ""
    words = search.hypothesis
    for start, target, length in _phrases(words, search.reference):
        if not any(alignment.hypothesis_errors[start : start + length]):
            continue
        if not any(alignment.reference_errors[target : target + length]):
            continue
        if start <= alignment.places[target] < start + length:
            continue
        previous = -1
        for offset in range(-1, length):
            at = target + offset
            if at == -1:
                place = 0
            elif at < len(alignment.places):
                place = alignment.places[at] + 1
            else:
                break
            if place == previous:
                continue
            previous = place
            shifted = _move(words, start, length, place)
            search.candidates += 1
            gain = alignment.distance - search.distance(shifted, alignment.distance)
            candidate = (gain, length, -start, -place)
            if gain > 0 and (best is None or candidate > best):
                best, moved = candidate, shifted
        if search.candidates >= MOST_CANDIDATES:
            break
    return None if best is None else moved


def _phrases(words: str, reference: str) -> Iterator[tuple[int, int, int]]:
    """Phrases that both have, at whatever places: start, start in the reference, words."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(reference):
        places.setdefault(word, []).append(place)
    for start, word in enumerate(words):
        for target in places.get(word, ()):
            if abs(target - start) > FARTHEST:
                continue
            longest = min(len(words) - start, len(reference) - target, LONGEST_PHRASE)
            for length in range(1, longest + 1):
                if words[start + length - 1] != reference[target + length - 1]:
                    break
                yield start, target, length


def _move(words: str, start: int, length: int, target: int) -> str:
    """Words with a phrase moved to stand before `target`, counted as tercom counts."""
    phrase, end = words[start : start + length], start + length
    if target < start:
        return words[:target] + phrase + words[target:start] + words[end:]
    if target > end:
        return words[:start] + words[end:target] + phrase + words[target:]
    return words[:start] + words[end : length + target] + phrase + words[length + target :]
