import csv
import json
import random

import pytest

from conftest import tiny_config
from signseq.comparison import compare
from signseq.comparison_table import format_comparison
from signseq.config import load_config, save_config
from signseq.errors import DataError
from signseq.grouping import (
    find_groups,
    group_by_column,
    group_by_length,
    group_by_names,
    group_by_rarity,
)
from signseq.metrics import score
from signseq.predictions import Predictions
from signseq.systems import group_seeds, parse_systems, read_systems

WORDS = "we eat bread you see water now the rain comes".split()
CLIPS = 120


def texts(seed, count=CLIPS):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(2, 12))) for _ in range(count)]


REFERENCES = texts(1)


def system(name, *, wrong, seed, references=REFERENCES):
    """A run that gets about that share of words wrong."""
    rng = random.Random(seed)
    outputs = [
        " ".join(rng.choice(WORDS) if rng.random() < wrong else word for word in text.split())
        for text in references
    ]
    return Predictions(
        name, [f"clip-{n}" for n in range(len(references))], list(references), outputs
    )


GOOD, TWIN, BAD = (
    system("good", wrong=0.3, seed=2),
    system("twin", wrong=0.3, seed=3),
    system("bad", wrong=0.6, seed=4),
)
FEW = {"metrics": ["bleu4", "cer"], "resamples": 200, "trials": 300}


@pytest.fixture
def write(tmp_path):
    def write(run, *, order=None, name=None):
        folder = tmp_path / (name or run.name)
        folder.mkdir()
        rows = list(zip(run.uids, run.references, run.hypotheses, strict=True))
        with (folder / "predictions.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerows([("uid", "reference", "hypothesis"), *(order or list)(rows)])
        return folder

    return write


# --------------------------------------------------------------------------------------- verdicts


def test_a_clear_difference_is_found_and_named_in_words():
    found = compare({"good": [GOOD], "bad": [BAD]}, **FEW)

    for metric, sign in (("bleu4", -1), ("cer", 1)):
        bad = found.scores[metric]["bad"]
        assert bad.verdict == "worse than good at 95%"
        assert bad.difference.difference * sign > 0
        low, high = bad.difference.interval
        assert low < bad.difference.difference < high
        assert low * high > 0
    better = compare({"bad": [BAD], "good": [GOOD]}, **FEW).scores["cer"]["good"]
    assert better.verdict == "better than bad at 95%"


def test_two_draws_of_the_same_quality_are_not_told_apart():
    found = compare({"good": [GOOD], "twin": [TWIN]}, **FEW)

    assert found.scores["bleu4"]["twin"].verdict == "not distinguishable from good at 95%"


def test_a_system_does_not_differ_from_itself():
    same = compare({"good": [GOOD], "again": [GOOD]}, **FEW).scores["cer"]["again"]

    assert same.verdict == "not distinguishable from good at 95%"
    assert (same.difference.p_bootstrap, same.difference.p_randomization) == (1, 1)


def test_scores_are_those_of_signseq_score():
    found = compare({"good": [GOOD], "bad": [BAD]}, normalize="lower", **FEW)
    wanted = score(BAD.hypotheses, REFERENCES, normalize="lower", resamples=200)

    assert found.scores["cer"]["bad"].score == pytest.approx(wanted.cer)
    assert found.scores["cer"]["bad"].interval == pytest.approx(wanted.intervals["cer"])
    assert found.signatures["bleu4"] == wanted.signatures["bleu4"]


def test_a_false_alarm_comes_about_one_time_in_twenty():
    alarms = 0
    for seed in range(60):
        runs = [system(name, wrong=0.5, seed=1000 + 2 * seed + n) for n, name in enumerate("ab")]
        found = compare(
            {run.name: [run] for run in runs}, metrics=["cer"], resamples=100, trials=100
        )
        alarms += "not distinguishable" not in found.scores["cer"]["b"].verdict

    assert alarms <= 8  # 3 expected; more than 8 has a probability of 0.4%


# ------------------------------------------------------------------------------------------ seeds


def test_several_runs_of_one_system_are_averaged_with_their_spread():
    runs = [system("a", wrong=0.3, seed=seed) for seed in (5, 6, 7)]
    found = compare({"a": runs, "bad": [BAD]}, **FEW).scores["cer"]

    values = [score(run.hypotheses, REFERENCES).cer for run in runs]
    assert found["a"].score == pytest.approx(sum(values) / 3)
    assert (found["a"].spread.least, found["a"].spread.most) == pytest.approx(
        (min(values), max(values))
    )
    assert found["bad"].spread is None
    assert found["bad"].difference.p_randomization is None  # three runs can't be swapped with one
    assert found["bad"].verdict == "worse than a at 95%"


def test_seeds_that_overlap_are_told():
    runs = {
        "a": [system("a1", wrong=0.2, seed=1), system("a2", wrong=0.5, seed=2)],
        "b": [system("b1", wrong=0.4, seed=3), system("b2", wrong=0.7, seed=4)],
    }

    verdict = compare(runs, **FEW).scores["cer"]["b"].verdict
    assert verdict == "worse than a on average at 95%, but their seeds overlap"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a", "b"], {"a": ["a"], "b": ["b"]}),
        (["base=a,b", "new=c"], {"base": ["a", "b"], "new": ["c"]}),
    ],
)
def test_systems_are_runs_or_names_of_several(arguments, expected):
    assert {
        name: list(map(str, runs)) for name, runs in parse_systems(arguments).items()
    } == expected


@pytest.fixture
def seeded(prepared, tmp_path):
    """Makes run folders that hold a config."""

    def seeded(name, *overrides):
        folder = tmp_path / name
        folder.mkdir()
        place = f"training.checkpoint_dir={folder}"
        save_config(tiny_config(prepared, place, *overrides), folder / "config.yaml")
        return folder

    return seeded


def test_runs_that_differ_by_seed_alone_are_one_system(seeded):
    runs = [
        seeded("b1", "seed=1"),
        seeded("n1", "seed=1", "model.dropout=0.3"),
        seeded("b2", "seed=2"),
        seeded("again", "seed=7", "generation.num_beams=3"),
    ]

    found = parse_systems(list(map(str, runs)))
    assert list(found.values()) == [[runs[0], runs[2]], [runs[1]], [runs[3]]]
    assert next(iter(found)) == f"{runs[0]} (2 seeds)"
    one = parse_systems([f"a={runs[0]}", str(runs[2])])
    assert list(map(len, one.values())) == [1, 1]  # what has a name stays by itself


def test_runs_with_the_same_seed_are_not_taken_for_seeds(seeded):
    assert group_seeds([seeded("one", "seed=1"), seeded("two", "seed=1"), "no/run"]) == {}


def test_seeds_of_one_system_alone_have_a_mean_and_spread():
    found = compare({"good": [GOOD, TWIN]}, **FEW)

    assert found.scores["cer"]["good"].spread is not None
    assert "over 2 runs" in format_comparison(found)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["a"], "name two or more"), (["a", "a"], "named twice")]
)
def test_what_names_no_two_systems_is_told(arguments, message):
    with pytest.raises(DataError, match=message):
        parse_systems(arguments)


# ------------------------------------------------------------------------------- the same test set


def test_the_order_of_clips_does_not_matter(write):
    folders = {"good": [write(GOOD)], "bad": [write(BAD, order=lambda rows: rows[::-1])]}

    found = read_systems(folders)
    assert found["bad"][0].hypotheses == BAD.hypotheses


def test_other_clips_are_refused_with_their_number_and_the_first(write):
    folders = {"good": [write(GOOD)], "bad": [write(BAD, order=lambda rows: rows[:-3])]}

    with pytest.raises(
        DataError, match=r"different clips.*3 of .*good, the first 'clip-117'.*can't be compared"
    ):
        read_systems(folders)


def test_other_references_are_refused_with_their_number_and_the_first(write):
    changed = [text if n % 50 != 7 else f"{text}!" for n, text in enumerate(REFERENCES)]
    other = system("other", wrong=0.1, seed=1, references=changed)

    with pytest.raises(
        DataError, match=r"different references for 3 of 120 clips, the first 'clip-7'"
    ):
        read_systems({"good": [write(GOOD)], "other": [write(other)]})


def test_a_run_without_predictions_says_what_makes_them(tmp_path, write):
    (tmp_path / "empty").mkdir()

    with pytest.raises(
        DataError, match=r"holds no predictions_val\.tsv.*signseq evaluate .*empty --split val"
    ):
        read_systems({"e": [tmp_path / "empty"], "good": [write(GOOD)]}, split="val")


def test_a_clip_that_stands_twice_is_refused(write):
    folder = write(GOOD, order=lambda rows: [*rows, rows[4]])

    with pytest.raises(DataError, match="'clip-4' stands there 2 times"):
        read_systems({"good": [folder], "bad": [folder]})


# ----------------------------------------------------------------------------------------- groups


def test_groups_are_compared_by_themselves():
    clips = {"short": [n for n, text in enumerate(REFERENCES) if len(text.split()) < 6]}
    found = compare({"good": [GOOD], "bad": [BAD]}, groups=clips, **FEW).groups["short"]

    chosen = [(BAD.hypotheses[n], REFERENCES[n]) for n in clips["short"]]
    assert found.count == len(clips["short"])
    assert found.scores["cer"]["bad"].score == pytest.approx(
        score(*map(list, zip(*chosen, strict=True))).cer
    )


def test_clips_are_grouped_by_words():
    found = group_by_length(["a", "a b c d e", "a b c d e f", " ".join("a" * 40)])

    assert found == {"1 to 5 words": [0, 1], "6 to 10 words": [2], "31 words or more": [3]}
    assert group_by_length(["我们吃面包和米饭吗"]) == {"6 to 10 words": [0]}  # characters


def test_clips_are_grouped_by_their_rarest_word():
    training = ["The rain comes."] * 60 + ["A storm comes"] * 3

    found = group_by_rarity(["the rain", "Rain, storm!", "Hail comes", "..."], training)
    assert found == {
        "a word never seen": [2],
        "rarest word 1 to 5 times": [1],
        "all words more than 50 times": [0, 3],
    }


def test_names_are_capitals_inside_sentences_that_no_text_writes_small():
    references = ["My name is Ana.", "Where do I live? You know.", "He saw the Rain", "the rain"]

    assert group_by_names(references) == {"with a name": [0], "without a name": [1, 2, 3]}
    with pytest.raises(DataError, match="names can't be told"):
        group_by_names(["tiefer luftdruck"])


def test_clips_are_grouped_by_a_column(tmp_path):
    (tmp_path / "t.csv").write_text(
        "uid,signer\n" + "".join(f"clip-{n},s{n % 2}\n" for n in range(CLIPS))
    )

    found = find_groups("signer", GOOD, table=tmp_path / "t.csv")
    assert found == {"s0": list(range(0, CLIPS, 2)), "s1": list(range(1, CLIPS, 2))}
    with pytest.raises(DataError, match=r"lacks 2 of 3 clips, the first 'b'"):
        group_by_column(["a", "b", "c"], {"a": "x"}, column="signer")
    with pytest.raises(DataError, match="its table: --table"):
        find_groups("signer", GOOD)
    with pytest.raises(DataError, match="--train TABLE"):
        find_groups("rare", GOOD)


# -------------------------------------------------------------------------------------- the command


def test_the_table_names_systems_p_values_and_verdicts():
    shown = format_comparison(
        compare({"good": [GOOD], "bad": [BAD]}, groups=group_by_length(REFERENCES), **FEW)
    )

    assert "CER (less is better)" in shown
    assert "worse than good at 95%" in shown
    assert "BLEU-4 by group\n1 to 5 words" in shown
    assert "120 clips; normalize: none, tokenize: 13a" in shown


def test_the_command_prints_json(call, write):
    folders = write(GOOD), write(BAD)
    code, out, err = call("compare", *folders, "--metrics", "exact", "--by", "length", "--json")

    found = json.loads(out)
    assert (code, err) == (0, "")
    assert set(found["scores"]["exact_match"]) == set(map(str, folders))
    assert sum(part["count"] for part in found["groups"].values()) == CLIPS


def test_the_command_finds_a_runs_training_texts_by_itself(call, write, seeded):
    folders = write(GOOD), write(BAD)
    config = load_config(seeded("config") / "config.yaml")
    save_config(config, folders[0] / "config.yaml")
    code, out, err = call("compare", *folders, "--metrics", "exact", "--by", "rare")

    assert (code, err) == (0, "")
    assert "a word never seen" in out


def test_an_empty_reference_is_named_by_its_clip():
    empty = Predictions("runs/a", ["one", "two"], ["a", " "], ["a", "b"])

    with pytest.raises(DataError, match=r"runs/a: 1 of 2 references are empty.*'two'"):
        compare({"a": [empty], "b": [empty]}, **FEW)
