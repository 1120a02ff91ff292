import gc
import os

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from signseq.config import EvaluationConfig
from signseq.errors import ConfigError, DataError, MissingExtraError, ModelError
from signseq.metrics import (
    NORMALIZERS,
    PLAIN,
    TOKENIZERS,
    choose_tokenizer,
    has_ngrams,
    score,
)
from signseq.metrics import scores as scores_module
from signseq.metrics.tokenization import load_tokenizer

REFERENCES = ["We eat bread and butter.", "You don't see the water now!", "He says: 'It is late.'"]
HYPOTHESES = ["We eat the bread and butter.", "You see water now!", "She says it is very late."]


def test_signatures_name_every_metrics_settings():
    signatures = score(HYPOTHESES, REFERENCES).signatures

    assert set(signatures) == set(PLAIN)
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


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"tokenize": "none"}, False), ({"tokenize": "char"}, True), ({"normalize": "no_punct"}, False),
     ({"language": "zh"}, True)],
)  # fmt: skip
def test_whether_there_are_ngrams_depends_on_how_texts_are_scored(settings, expected):
    assert has_ngrams(["Come here now!"], 4, **settings) is expected


@pytest.mark.parametrize("name", ["posestitch_isign"])
def test_a_rule_without_a_source_is_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=r"no source was found.*lower_no_punct"):
        score(["a"], ["a"], normalize=name)
    with pytest.raises(ValidationError, match="no source was found"):
        EvaluationConfig(normalize=name)


def test_one_word_of_another_script_does_not_change_how_rouge_counts():
    plain = score(["Come here now."] * 9, ["come here, now"] * 9)
    mixed = score(["Come here now."] * 9, [*["come here, now"] * 8, "नमस्ते"])

    assert plain.signatures["rouge_l"] == mixed.signatures["rouge_l"]
    assert mixed.rouge_l == pytest.approx(100 * 8 / 9)


def test_the_collector_is_as_it_was_after_measuring():
    assert gc.isenabled()
    score(["a"], ["b"])
    assert gc.isenabled()


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


def test_the_three_forms_of_rouge_lie_points_apart():
    hypothesis, reference = "The cat sat on the mat", "the cat, it sat on a mat."

    scores = score([hypothesis], [reference])
    # rouge-score drops case and punctuation: the cat sat on mat, 5 of 6 and of 7 words
    assert scores.rouge_l == pytest.approx(100 * 2 * (5 / 6 * 5 / 7) / (5 / 6 + 5 / 7))
    # between spaces only "sat on" is the same in order
    assert scores.rouge_l_lcs == pytest.approx(100 * 2 * (2 / 6 * 2 / 7) / (2 / 6 + 2 / 7))
    precision, recall, weight = 2 / 6, 2 / 7, 1.2**2
    expected = (1 + weight) * precision * recall / (recall + weight * precision)
    assert scores.rouge_l_beta == pytest.approx(100 * expected)


def test_chinese_is_cut_up_before_words_are_compared():
    scores = score(["我们吃面包"], ["我们吃米饭"])

    assert scores.tokenize == "zh"
    assert "|tok:zh|" in scores.signatures["bleu4"]
    assert scores.rouge_l == scores.rouge_l_lcs == pytest.approx(60)  # three of five characters
    assert scores.wer == pytest.approx(40)
    assert "tok:zh" in scores.signatures["rouge_l"]


def test_two_processes_give_the_same_as_one(monkeypatch):
    texts = ["we eat bread", "", "you see water now"], ["we eat", "you", "you see the water"]
    alone = score(*texts, resamples=20)

    monkeypatch.setattr(scores_module, "MANY", 1)
    assert score(*texts, resamples=20) == alone


# ----------------------------------------------------------------------- normalisation, tokenizers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", "Don't  go, «Ana»!"),
        ("lower", "don't  go, «ana»!"),
        ("no_punct", "Dont go Ana"),
        ("lower_no_punct", "dont go ana"),
    ],
)
def test_normalisation_changes_both_sides_alike(name, expected):
    text = "Don't  go, «Ana»!"

    assert NORMALIZERS[name].change(text) == expected
    assert score([text], [expected], normalize=name).exact_match == 100
    assert score([expected], [text], normalize=name).exact_match == 100
    assert score([text], [text], normalize=name).normalize == name


def test_only_punctuation_leaves_nothing_to_score_only_where_it_is_taken_out():
    assert score(["?!"], ["?!"]).exact_match == 100
    with pytest.raises(DataError, match=r"Nothing is left of the references.*lower_no_punct"):
        score(["?!"], ["?!"], normalize="lower_no_punct")


def test_a_reference_that_becomes_empty_is_only_wrong_words():
    assert score(["a", "b"], ["a", "?"], normalize="no_punct").wer == pytest.approx(100)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (None, "we eat", "13a"),
        (None, "我们吃", "zh"),
        (None, "私たちはパンを食べる", "ja-mecab"),
        (None, "우리는 먹는다", "ko-mecab"),
        (None, "เรากิน", "char"),
        (None, "123 !", "13a"),
        ("zh_CN", "abc", "zh"),
        ("zho_Hans", "abc", "zh"),
        ("jpn_Jpan", "abc", "ja-mecab"),
        ("en_XX", "我们", "13a"),
    ],
)
def test_auto_chooses_the_tokenizer_by_language_or_else_by_script(language, text, expected):
    assert choose_tokenizer("auto", [text], language=language) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ["blue4"]}, "did you mean bleu4"),
        ({"tokenize": "13b"}, "did you mean 13a"),
        ({"normalize": "lowr"}, "did you mean lower"),
        ({"metrics": ["bleurt"]}, "needs a model"),
    ],
)
def test_unknown_names_get_the_nearest_known_one(settings, message):
    with pytest.raises(ConfigError, match=message):
        score(["a"], ["a"], **settings)


def test_metrics_can_be_chosen_by_the_names_that_people_write():
    scores = score(["a b"], ["a b"], metrics=["chrF++", "BLEU", "exact"])

    assert set(scores.values()) == {"bleu4", "chrf_pp", "exact_match"}
    assert "wer" not in scores.as_dict()


def test_a_tokenizer_whose_package_is_missing_names_its_extra(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    load_tokenizer.cache_clear()

    with pytest.raises(MissingExtraError, match=r"char does without.*signseq\[ja\]"):
        score(["私"], ["私たちは"])


def test_a_tokenizer_that_cannot_be_downloaded_says_where_its_model_belongs(monkeypatch, tmp_path):
    def fail(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.download_file", fail)
    load_tokenizer.cache_clear()

    with pytest.raises(ModelError, match=r"flores200.*no network.*\.sacrebleu/models"):
        score(["a"], ["a"], tokenize="flores200")


def test_the_config_allows_what_there_is():
    def choices(key):
        return set(EvaluationConfig.model_fields[key].annotation.__args__)

    assert choices("normalize") == set(NORMALIZERS)
    assert choices("tokenize") == {"auto", *TOKENIZERS}


# ------------------------------------------------------------------------------ several references


def test_the_best_of_several_references_counts():
    scores = score(["a b c d"], [["a x c d"], ["a b c d"]])

    assert (scores.wer, scores.cer, scores.exact_match, scores.rouge_l) == (0, 0, 100, 100)
    assert "nrefs:2" in scores.signatures["bleu4"]


def test_an_empty_reference_of_several_is_not_there():
    scores = score(["a b c d", "e"], [["", "e"], ["a b c d", ""]])

    assert (scores.ter, scores.exact_match) == (0, 100)
    assert score([""], [["a"], [""]]).exact_match == 0
    assert "nrefs:2" not in scores.signatures["bleu4"]


def test_a_clip_without_any_reference_raises():
    with pytest.raises(DataError, match="Reference 2 is empty"):
        score(["a", "b"], [["a", ""], ["a", " "]])


# ---------------------------------------------------------------------------------------- intervals


def test_intervals_hold_the_score_and_are_the_same_for_the_same_texts():
    references = [f"we eat {n} loaves of bread today" for n in range(40)]
    hypotheses = [text if n % 3 else "you see water now" for n, text in enumerate(references)]

    scores = score(hypotheses, references, resamples=200)
    assert set(scores.intervals) == set(PLAIN)
    for name, (low, high) in scores.intervals.items():
        assert low < scores.values()[name] < high
    assert scores == score(hypotheses, references, resamples=200)
    assert scores.as_dict()["confidence"] == {"level": 95, "resamples": 200, "seed": 12345}


def test_the_interval_of_a_share_is_that_of_the_binomial():
    hypotheses = ["a" if n < 300 else "b" for n in range(1000)]

    low, high = score(hypotheses, ["a"] * 1000, resamples=1000).intervals["exact_match"]
    half = 196 * (0.3 * 0.7 / 1000) ** 0.5
    assert (low, high) == pytest.approx((30 - half, 30 + half), abs=0.5)


def test_one_pair_has_an_interval_without_width():
    assert score(["a b"], ["a b"], resamples=50).intervals["wer"] == (0, 0)


# --------------------------------------------------------------------------------- BLEURT and COMET


@pytest.fixture(scope="module")
def bleurt(tmp_path_factory):
    """A checkpoint as BLEURT's are, with random weights."""
    folder = tmp_path_factory.mktemp("bleurt")
    torch.manual_seed(0)
    words = {"[UNK]": 0, "[PAD]": 1, "we": 2, "eat": 3, "you": 4, "see": 5, "bread": 6}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_bleurt_is_the_mean_of_its_models_numbers(bleurt):
    one = score(["we eat"], ["you see bread"], models={"bleurt": str(bleurt)}).bleurt
    other = score(["you"], ["we eat"], models={"bleurt": str(bleurt)}).bleurt
    both = score(["we eat", "you"], ["you see bread", "we eat"], models={"bleurt": str(bleurt)})

    assert one != other
    assert both.bleurt == pytest.approx((one + other) / 2, abs=1e-4)
    assert f"model:{bleurt}" in both.signatures["bleurt"]


def test_a_bleurt_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"evaluation\.bleurt.*no such folder"):
        score(["a"], ["a"], models={"bleurt": f"{tmp_path}/gone"})


def test_comet_is_asked_of_its_own_program(tmp_path, monkeypatch):
    program = tmp_path / "comet-score"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import json, sys\n"
        "given = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "lines = [open(given[flag]).read().split('\\n')[:-1] for flag in ('-s', '-t', '-r')]\n"
        "rows = [{'COMET': 0.5 if s == '' and t == r else 0.1} for s, t, r in zip(*lines)]\n"
        "json.dump({given['-t']: rows}, open(given['--to_json'], 'w'))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    scores = score(["we eat", ""], ["we eat", "you"], models={"comet": "any"})
    assert scores.comet == pytest.approx(30)
    assert scores.signatures["comet"] == "comet|model:any|src:none|nrefs:1"

    program.write_text("#!/bin/sh\necho no such model >&2\nexit 3\n")
    with pytest.raises(ModelError, match=r"comet-score failed \(no such model\)"):
        score(["a"], ["a"], models={"comet": "any"})


def test_without_its_program_comet_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)

    with pytest.raises(ModelError, match="pipx install unbabel-comet"):
        score(["a"], ["a"], models={"comet": "any"})


# ------------------------------------------------------------------------------------------ mistakes


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
