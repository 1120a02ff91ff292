"""What scores say beyond themselves: losses under controls, outputs that collapse, texts seen in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from signseq.data.splits import normalize_text
from signseq.metrics import ERRORS, METRICS, Scores, gather_texts, measure
from signseq.metrics.measured import Measured
from signseq.metrics.significance import Difference, compare_paired
from signseq.metrics.tokenization import splitter

__all__ = [
    "LOSS_METRICS",
    "Losses",
    "Outputs",
    "Overlap",
    "describe_losses",
    "describe_outputs",
    "find_losses",
    "find_overlap",
    "find_warnings",
    "is_loss",
]

LOSS_METRICS = ("bleu4", "chrf", "cer")
JUDGE = "chrf"  # what verdicts go by: it is defined for texts of any length
# What counts as a collapse; a model that translates stays well away from all three.
LEAST_DISTINCT = 0.5  # distinct outputs, of the number of distinct references
MOST_REPEATED = 0.1  # share of clips with the same output, beyond that of the references' own
LENGTHS = (0.7, 1.4)  # output words per reference word

Losses = dict[str, dict[str, Difference]]  # by control, then by metric: its score less the model's


@dataclass(frozen=True)
class Outputs:
    """How varied and how long outputs are.

    Attributes:
        distinct: Share of outputs that differ.
        distinct_references: The same of the references.
        most_frequent: The output that occurs most often.
        most_frequent_share: Of all outputs.
        most_frequent_reference_share: The same of the reference that occurs most often.
        length_ratio: Words of the outputs per word of the references.
    """

    distinct: float
    distinct_references: float
    most_frequent: str
    most_frequent_share: float
    most_frequent_reference_share: float
    length_ratio: float


@dataclass(frozen=True)
class Overlap:
    """References that occur in training too, case and punctuation aside.

    Attributes:
        count: How many.
        share: Of all.
        seen: Scores on these clips; None where there are none.
        unseen: Scores on the others, likewise.
    """

    count: int
    share: float
    seen: Scores | None
    unseen: Scores | None


def find_losses(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    controls: Mapping[str, Sequence[str]],
    normalize: str,
    tokenize: str,
    resamples: int,
) -> Losses:
    """Test what a model loses under each control, on the same clips.

    Args:
        hypotheses: The model's, N.
        references: N.
        controls: N texts of each control.
        normalize: What is done to all texts.
        tokenize: BLEU's tokenizer; not `auto`.
        resamples: Of the paired bootstrap; ten times as many trials of approximate randomisation.
            0 tests nothing.
    """
    if not resamples or len(references) < 2:
        return {}

    def measured(texts: Sequence[str]) -> list[dict[str, Measured]]:
        gathered = gather_texts(texts, [references], normalize=normalize)
        return [measure(gathered, tokenize=tokenize, metrics=LOSS_METRICS)]

    own = measured(hypotheses)
    return {
        name: compare_paired(own, measured(texts), resamples=resamples, trials=10 * resamples)
        for name, texts in controls.items()
    }


def is_loss(metric: str, found: Difference) -> bool:
    """Whether the control is worse than the model by more than chance, at 95%."""
    if (found.difference > 0) != (metric in ERRORS):
        return False
    return found.is_significant


def describe_losses(losses: Losses) -> list[str]:
    """What a model loses under each control, and whether chance explains it; a line for each verdict."""
    verdicts: dict[str, list[str]] = {}
    for name, found in losses.items():
        judge = found[JUDGE]
        verdict = "it is worse at 95%"
        if is_loss(JUDGE, _reversed_sign(judge)):
            verdict = "it is better at 95%"
        elif not is_loss(JUDGE, judge):
            verdict = "nothing is distinguishable at 95%"
        verdicts.setdefault(verdict, []).append(f"{name} {judge.difference:+.2f}")
    return [
        f"{METRICS[JUDGE]} less the model's, where {verdict}: {', '.join(names)}"
        for verdict, names in verdicts.items()
    ]


def _reversed_sign(found: Difference) -> Difference:
    """The same difference, seen from the other side."""
    low, high = found.interval
    return Difference(-found.difference, (-high, -low), found.p_bootstrap, found.p_randomization)


def describe_outputs(hypotheses: Sequence[str], references: Sequence[str]) -> Outputs:
    """Count what a model's outputs are like, beside the references."""
    _, cut = splitter("13a", references)
    counts, truths = Counter(hypotheses), Counter(references)
    [(text, times)] = counts.most_common(1)
    return Outputs(
        distinct=len(counts) / len(hypotheses),
        distinct_references=len(truths) / len(references),
        most_frequent=text,
        most_frequent_share=times / len(hypotheses),
        most_frequent_reference_share=truths.most_common(1)[0][1] / len(references),
        length_ratio=sum(len(cut(each)) for each in hypotheses)
        / max(sum(len(cut(each)) for each in references), 1),
    )


def find_overlap(
    hypotheses: Sequence[str],
    references: Sequence[str],
    training: Counter[str],
    *,
    rate: Callable[..., Scores],
) -> Overlap:
    """Score the clips whose reference occurs in training, and the others, each by themselves.

    Args:
        hypotheses: N.
        references: N.
        training: The training sentences.
        rate: `signseq.metrics.score` with the experiment's settings.
    """
    known = {normalize_text(text) for text in training}
    is_seen = [normalize_text(text) in known for text in references]

    def scored(wanted: bool) -> Scores | None:
        kept = [n for n, seen in enumerate(is_seen) if seen is wanted]
        if not kept:
            return None
        texts = ([side[n] for n in kept] for side in (hypotheses, references))
        return rate(*texts, metrics=LOSS_METRICS, models={})

    count = sum(is_seen)
    return Overlap(count, count / len(references), scored(True), scored(False))


def find_warnings(
    scores: Scores,
    blind: Mapping[str, Scores],
    losses: Losses,
    *,
    outputs: Outputs,
    overlap: Overlap | None,
) -> list[str]:
    """What spoils a score, in plain words.

    Args:
        scores: The model's.
        blind: Of each control that can't see the poses.
        losses: By control; may lack some.
        outputs: What they are like.
        overlap: With training; None where the training texts aren't known.
    """
    return [
        *_blindness(scores, blind, losses),
        *_collapse(outputs),
        *_leaks(overlap),
    ]


def _blindness(scores: Scores, blind: Mapping[str, Scores], losses: Losses) -> Iterator[str]:
    no_worse = [
        name for name in blind if name in losses and not is_loss(JUDGE, losses[name][JUDGE])
    ]
    if no_worse:
        best = max(no_worse, key=lambda name: blind[name].chrf or 0.0)
        others = f" (and {len(no_worse) - 1} more)" if len(no_worse) > 1 else ""
        yield (
            f"The model is no better than '{best}'{others}, which can't see the clip: chrF {scores.chrf:.2f} against "
            f"{blind[best].chrf:.2f}. So nothing shows that what it writes comes from the poses."
        )


def _collapse(outputs: Outputs) -> Iterator[str]:
    if outputs.distinct < LEAST_DISTINCT * outputs.distinct_references:
        yield (
            f"The outputs collapse: {outputs.distinct:.0%} of them are distinct, of the references "
            f"{outputs.distinct_references:.0%}."
        )
    if outputs.most_frequent_share > outputs.most_frequent_reference_share + MOST_REPEATED:
        yield (
            f"{outputs.most_frequent_share:.0%} of the outputs are {outputs.most_frequent!r}; the most frequent "
            f"reference makes up {outputs.most_frequent_reference_share:.0%}."
        )
    low, high = LENGTHS
    if not low <= outputs.length_ratio <= high:
        word = "short" if outputs.length_ratio < low else "long"
        yield f"The outputs are too {word}: {outputs.length_ratio:.2f} words per word of the references."


def _leaks(overlap: Overlap | None) -> Iterator[str]:
    if overlap is None or overlap.seen is None:
        return
    told = f"{overlap.count} references ({overlap.share:.0%}) occur in training too"
    if overlap.unseen is None:
        yield f"All {told}: this doesn't show how the model does on sentences it has not seen."
        return
    seen, unseen = overlap.seen.values(), overlap.unseen.values()
    figures = "; ".join(
        f"{METRICS[name]} {seen[name]:.2f} with them alone, {unseen[name]:.2f} without"
        for name in LOSS_METRICS
        if seen[name] is not None and unseen[name] is not None
    )
    yield f"{told}, case and punctuation aside: {figures}."
