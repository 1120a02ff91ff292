"""Our figures are those of sacreBLEU, rouge-score and jiwer, to the last digit."""

import json
import random
import subprocess
import sys

import jiwer
import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.lib_ter import translation_edit_rate
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest

from signseq.metrics import gather_texts, measure, score
from signseq.metrics.resampling import resampled_scores
from signseq.metrics.significance import compare_paired
from signseq.metrics.ter import count_edits
from signseq.metrics.tokenization import words_of

SIGNS = ["the", "rain", "comes", "Comes", "don't", "U.S.", "3.5", "10-20", "well-known", "&amp;", "(hi)",
         "naïve", "straße", "...", "?", "a", "I", "सब", "我们", "-", "e.g.,", "'s"]  # fmt: skip


def make_texts(count, *, seed, longest=14, words=SIGNS):
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(1, longest))) for _ in range(count)]


def noisy(texts, *, seed):
    """Hypotheses like a model's: words changed, dropped, moved; some empty."""
    rng = random.Random(seed)
    found = []
    for text in texts:
        words = [rng.choice(SIGNS) if rng.random() < 0.4 else word for word in text.split()]
        if len(words) > 3 and rng.random() < 0.5:
            place = rng.randrange(len(words) - 1)
            phrase, words[place : place + 2] = words[place : place + 2], []
            words += phrase
        found.append("" if rng.random() < 0.03 else " ".join(words))
    return found


REFERENCES = make_texts(150, seed=1)
HYPOTHESES = noisy(REFERENCES, seed=2)
SECOND = noisy(REFERENCES, seed=3)


@pytest.fixture(scope="module")
def ours():
    return score(HYPOTHESES, REFERENCES, tokenize="13a")


@pytest.fixture(scope="module")
def command_line(tmp_path_factory):
    """What sacreBLEU's own command line says of the same files."""
    folder = tmp_path_factory.mktemp("sacrebleu")
    for name, texts in (("reference", REFERENCES), ("hypothesis", HYPOTHESES)):
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    files = [folder / "reference", "-i", folder / "hypothesis"]
    command = [
        sys.executable,
        "-m",
        "sacrebleu",
        *files,
        "-m",
        "bleu",
        "chrf",
        "ter",
        "--width",
        "10",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


@pytest.mark.parametrize(("name", "theirs"), [("bleu4", "BLEU"), ("chrf", "chrF2"), ("ter", "TER")])
def test_a_score_and_its_signature_are_those_of_sacrebleus_command_line(
    ours, command_line, name, theirs
):
    assert f"{getattr(ours, name):.10f}" == f"{command_line[theirs]['score']:.10f}"
    assert ours.signatures[name] == command_line[theirs]["signature"]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_bleu_is_sacrebleus_cumulative_one(ours, order):
    theirs = BLEU(max_ngram_order=order, tokenize="13a").corpus_score(HYPOTHESES, [REFERENCES])

    assert getattr(ours, f"bleu{order}") == pytest.approx(theirs.score, abs=1e-10)


def test_chrf_plus_plus_is_sacrebleus(ours):
    theirs = CHRF(word_order=2).corpus_score(HYPOTHESES, [REFERENCES]).score

    assert ours.chrf_pp == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("metric", [BLEU(tokenize="13a"), CHRF(), CHRF(word_order=2), TER()])
def test_every_texts_statistics_are_sacrebleus(metric):
    name = {"BLEU": "bleu4", "TER": "ter"}.get(type(metric).__name__)
    name = name or ("chrf_pp" if metric.word_order else "chrf")
    found = measure(gather_texts(HYPOTHESES, [REFERENCES]), tokenize="13a", metrics=[name])[name]

    theirs = np.array(metric._extract_corpus_statistics(HYPOTHESES, [REFERENCES]))
    np.testing.assert_array_equal(found.statistics, theirs)


def test_several_references_are_scored_as_sacrebleu_scores_them():
    ours = score(HYPOTHESES, [REFERENCES, SECOND_REFERENCES, HYPOTHESES[::-1]], tokenize="13a")
    streams = [
        [text or None for text in stream]
        for stream in (REFERENCES, SECOND_REFERENCES, HYPOTHESES[::-1])
    ]

    for name, metric in {
        "bleu4": BLEU(tokenize="13a"),
        "chrf": CHRF(),
        "chrf_pp": CHRF(word_order=2),
        "ter": TER(),
    }.items():
        theirs = metric.corpus_score(HYPOTHESES, streams)
        assert getattr(ours, name) == pytest.approx(theirs.score, abs=1e-10), name
        assert ours.signatures[name] == str(metric.get_signature())


SECOND_REFERENCES = noisy(REFERENCES, seed=4)  # some of them empty: not there


@pytest.mark.parametrize("longest", [6, 16, 40, pytest.param(110, marks=pytest.mark.slow)])
def test_edits_of_ter_are_sacrebleus_for_texts_of_any_length(longest):
    rng = random.Random(longest)
    pairs = []
    for _ in range(30 if longest > 20 else 100):
        signs = "abcdefgh" if longest < 20 else "abcdefghijklmnopqrstuvwxyz"
        words = [rng.choices(signs, k=rng.randint(0, longest)) for _ in range(2)]
        if rng.random() < 0.5:  # the same words, phrases moved
            cut = rng.randint(0, len(words[1]))
            words[0] = words[1][cut:] + words[1][:cut]
        pairs.append(tuple(map(tuple, words)))
    hypotheses, references = map(list, zip(*pairs, strict=True))

    theirs = [translation_edit_rate(list(h), list(r))[0] for h, r in pairs]
    assert count_edits(hypotheses, references) == theirs


def test_words_between_spaces_are_cut_up_as_sacrebleu_cuts_up_whole_texts():
    rng = random.Random(5)
    signs = "ab1.,-'&;!?()<> \u00a0\u2028\t/\"skiped"
    texts = ["".join(rng.choices(signs, k=rng.randint(0, 20))) for _ in range(3000)]
    tokenizer = BLEU(tokenize="13a").tokenizer

    assert list(map(words_of("13a"), texts)) == [tokenizer(text.rstrip()).split() for text in texts]


def test_rouge_is_rouge_scores(ours):
    words = [text for text in SIGNS if text.isascii()]
    references = make_texts(60, seed=6, words=words)
    hypotheses = make_texts(60, seed=7, words=words)
    scorer = RougeScorer(["rougeL"])
    theirs = [
        scorer.score(r, h)["rougeL"].fmeasure for r, h in zip(references, hypotheses, strict=True)
    ]

    assert score(hypotheses, references).rouge_l == pytest.approx(100 * np.mean(theirs), abs=1e-10)


def test_error_rates_are_jiwers(ours):
    assert ours.wer == pytest.approx(100 * jiwer.wer(REFERENCES, HYPOTHESES), abs=1e-10)
    assert ours.cer == pytest.approx(100 * jiwer.cer(REFERENCES, HYPOTHESES), abs=1e-10)


def test_odd_spaces_do_not_part_us_from_jiwer():
    hypotheses, references = ["  a  b\u00a0c\t d ", "a"], [" a b c  d", "\u2003a b "]

    ours = score(hypotheses, references)
    assert ours.wer == pytest.approx(100 * jiwer.wer(references, hypotheses))
    assert ours.cer == pytest.approx(100 * jiwer.cer(references, hypotheses))


def test_the_bootstrap_draws_what_sacrebleu_draws():
    measured = measure(gather_texts(HYPOTHESES, [REFERENCES]), tokenize="13a", metrics=["bleu4"])
    theirs = BLEU(tokenize="13a").corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=200)

    scores = resampled_scores(measured, resamples=200)["bleu4"]
    assert scores.mean() == pytest.approx(theirs._mean, abs=1e-5)  # it sums in single precision


@pytest.mark.parametrize("kind", ["bs", "ar"])
def test_p_values_are_those_of_sacrebleus_paired_tests(kind):
    metrics = {"bleu4": BLEU(tokenize="13a"), "chrf": CHRF(), "ter": TER()}
    systems = [("first", HYPOTHESES), ("second", SECOND)]
    _, theirs = PairedTest(systems, metrics, [REFERENCES], kind, n_samples=200)()

    runs = [
        measure(gather_texts(texts, [REFERENCES]), tokenize="13a", metrics=list(metrics))
        for _, texts in systems
    ]
    ours = compare_paired([runs[0]], [runs[1]], resamples=200, trials=200)
    for name, title in (("bleu4", "BLEU"), ("chrf", "chrF2"), ("ter", "TER")):
        found = ours[name].p_bootstrap if kind == "bs" else ours[name].p_randomization
        assert found == theirs[title][1].p_value
        assert 0.02 < found < 0.98, "too clear a case to tell right from wrong"


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_short_texts_with_several_references_have_sacrebleus_statistics(count):
    rng = random.Random(count)
    streams = [
        [" ".join(rng.choices(["a", "b.", "c"], k=rng.randint(1, 5))) for _ in range(300)]
        for _ in range(count + 1)
    ]
    hypotheses, *references = streams

    found = measure(gather_texts(hypotheses, references), tokenize="13a")
    for name, metric in {
        "bleu4": BLEU(tokenize="13a"),
        "chrf": CHRF(),
        "chrf_pp": CHRF(word_order=2),
    }.items():
        theirs = np.array(metric._extract_corpus_statistics(hypotheses, references))
        np.testing.assert_array_equal(found[name].statistics, theirs, err_msg=name)


def test_rouge_words_that_come_again_are_cut_up_as_rouge_score_cuts_up_whole_texts():
    rng = random.Random(8)
    signs = "abZ19.,-'&_ßİΣσé\u00a0\u2028\t  "
    references, hypotheses = (
        ["q" + "".join(rng.choices(signs, k=rng.randint(0, 20))) for _ in range(500)]
        for _ in range(2)
    )
    scorer = RougeScorer(["rougeL"])
    theirs = [
        scorer.score(r, h)["rougeL"].fmeasure for r, h in zip(references, hypotheses, strict=True)
    ]

    ours = score(hypotheses, references, metrics=["rouge_l"]).rouge_l
    assert ours == pytest.approx(100 * np.mean(theirs), abs=1e-10)
