import json
import re
import subprocess
import sys
from statistics import geometric_mean

import pytest

from signseq.errors import DataError
from signseq.metrics import has_ngrams, score

REFERENCES = ["We eat bread and butter.", "You don't see the water now!", "He says: 'It is late.'"]
HYPOTHESES = ["We eat the bread and butter.", "You see water now!", "She says it is very late."]


@pytest.fixture(scope="module")
def sacrebleu(tmp_path_factory):
    """What sacreBLEU's own command line says of the files."""
    folder = tmp_path_factory.mktemp("sacrebleu")
    (folder / "reference").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    (folder / "hypothesis").write_text("\n".join(HYPOTHESES) + "\n", encoding="utf-8")
    files = [folder / "reference", "-i", folder / "hypothesis"]
    command = [sys.executable, "-m", "sacrebleu", *files, "-m", "bleu", "chrf", "--width", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_bleu4_is_that_of_sacrebleus_command_line(sacrebleu):
    scores = score(HYPOTHESES, REFERENCES)

    assert scores.bleu4 == pytest.approx(sacrebleu["BLEU"]["score"], abs=1e-6)
    assert scores.signatures["bleu4"] == sacrebleu["BLEU"]["signature"]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_shorter_bleu_follows_from_sacrebleus_precisions(sacrebleu, order):
    precisions, penalty = re.match(
        r"(\S+) \(BP = (\S+)", sacrebleu["BLEU"]["verbose_score"]
    ).groups()
    mean = geometric_mean([float(p) for p in precisions.split("/")][:order])

    found = getattr(score(HYPOTHESES, REFERENCES), f"bleu{order}")

    assert found == pytest.approx(float(penalty) * mean, abs=0.2)  # it prints one decimal


def test_chrf_is_that_of_sacrebleus_command_line(sacrebleu):
    scores = score(HYPOTHESES, REFERENCES)

    assert scores.chrf == pytest.approx(sacrebleu["chrF2"]["score"], abs=1e-6)
    assert scores.signatures["chrf"] == sacrebleu["chrF2"]["signature"]


def test_signatures_name_every_metrics_settings():
    signatures = score(HYPOTHESES, REFERENCES).signatures

    assert set(signatures) == {*(f"bleu{n}" for n in range(1, 5)), "chrf", "rouge_l", "wer", "cer"}
    assert signatures["bleu4"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert signatures["bleu2"].endswith("|maxngram:2")


def test_perfect_output_scores_100_where_references_are_long_enough():
    scores = score(["we eat", "you see bread"], ["we eat", "you see bread"])

    assert (scores.bleu1, scores.bleu2, scores.bleu3) == pytest.approx((100, 100, 100))
    assert scores.bleu4 is None
    assert (scores.chrf, scores.rouge_l, scores.exact_match) == pytest.approx((100, 100, 100))
    assert (scores.wer, scores.cer) == (0, 0)


def test_one_long_reference_is_enough_for_bleu4():
    assert score(["a b c d", "e"], ["a b c d", "e"]).bleu4 == pytest.approx(100)


def test_has_ngrams_counts_as_sacrebleu_does():
    assert has_ngrams(["Come here now!"], 4)  # the exclamation mark is a token
    assert not has_ngrams(["come here now"], 4)


def test_error_rates_count_edits():
    scores = score(["the cat sat"], ["the dog sat down"])

    assert scores.wer == pytest.approx(100 * 2 / 4)  # one word changed, one missing
    assert score(["bread"], ["broad"]).cer == pytest.approx(100 / 5)


def test_error_rates_may_exceed_100():
    scores = score(["a very long answer"], ["no"])

    assert scores.wer == pytest.approx(400)
    assert scores.cer > 100


def test_rouge_l_is_the_mean_f1_of_the_longest_common_subsequence():
    # two of three and four words in common: 2 * (2/3 * 2/4) / (2/3 + 2/4)
    found = score(["the cat sat", "yes"], ["the dog sat down", "yes"]).rouge_l

    assert found == pytest.approx(100 * (4 / 7 + 1) / 2)


def test_exact_match_is_case_sensitive():
    assert score(["We eat", "you"], ["we eat", "you"]).exact_match == 50


def test_empty_hypotheses_are_scored_as_wrong():
    scores = score(["", ""], ["we eat", "you see bread"])

    assert (scores.bleu1, scores.chrf, scores.rouge_l, scores.exact_match) == (0, 0, 0, 0)
    assert (scores.wer, scores.cer) == (100, 100)


@pytest.mark.parametrize(
    "text", ["我们吃面包", "نحن نأكل الخبز", "мы едим хлеб", "हम रोटी खाते हैं", "我们 and you"]
)
def test_perfect_output_scores_100_in_any_script(text):
    scores = score([text], [text])

    assert (scores.rouge_l, scores.chrf, scores.bleu1) == pytest.approx((100, 100, 100))
    assert scores.exact_match == 100


def test_the_rouge_signature_names_the_tokenizer():
    assert "|tok:default|" in score(["we"], ["we"]).signatures["rouge_l"]
    assert "|tok:whitespace|" in score(["نحن"], ["نحن"]).signatures["rouge_l"]


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], ["a", "b"], "1 hypotheses for 2 references"),
        ([], [], "nothing to score"),
        (["a", "b"], ["a", " "], "Reference 2 is empty"),
    ],
)
def test_what_cannot_be_scored_raises(hypotheses, references, message):
    with pytest.raises(DataError, match=message):
        score(hypotheses, references)
