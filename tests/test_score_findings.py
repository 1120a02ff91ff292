"""Warnings of scores that say less than they seem to."""

from collections import Counter
from functools import partial

import pytest

from signseq.metrics import score
from signseq.score_findings import (
    describe_losses,
    describe_outputs,
    find_losses,
    find_overlap,
    find_warnings,
    is_loss,
)

REFERENCES = [f"we eat {food} on day {day}" for food in ("bread", "fish") for day in range(20)]
GARBLED = [f"they saw {number} dogs over there" for number in range(40)]


def warnings_of(hypotheses, blind=(), training=()):
    settings = {"normalize": "none", "tokenize": "13a", "resamples": 200}
    controls = {"poses zeroed": list(blind)} if blind else {}
    return find_warnings(
        score(hypotheses, REFERENCES),
        {name: score(texts, REFERENCES) for name, texts in controls.items()},
        find_losses(hypotheses, REFERENCES, controls=controls, **settings),
        outputs=describe_outputs(hypotheses, REFERENCES),
        overlap=find_overlap(hypotheses, REFERENCES, Counter(training), rate=partial(score)),
    )


def losses_of(hypotheses, control):
    return find_losses(
        hypotheses,
        REFERENCES,
        controls={"body only": control},
        normalize="none",
        tokenize="13a",
        resamples=200,
    )["body only"]


def test_a_good_model_is_not_warned_of():
    assert warnings_of(REFERENCES, blind=GARBLED) == []


def test_a_model_no_better_than_blind_is_told_so():
    (warning,) = warnings_of(GARBLED, blind=[*GARBLED[1::-1], *GARBLED[2:]])
    assert "no better than 'poses zeroed'" in warning
    assert "nothing shows that what it writes comes from the poses" in warning


@pytest.mark.parametrize("same", ["we eat", "we eat bread on day 1"])
def test_outputs_that_collapse_are_told(same):
    found = " ".join(warnings_of([same] * 40))
    assert "outputs collapse: 2%" in found
    assert f"100% of the outputs are '{same}'" in found
    assert ("too short" in found) == (same == "we eat")


def test_references_that_repeat_excuse_outputs_that_do():
    same = ["we eat"] * 9 + ["you see"]
    found = describe_outputs(same, same)
    assert find_warnings(score(same, same), {}, {}, outputs=found, overlap=None) == []


def test_empty_outputs_are_too_short():
    assert any("too short: 0.00" in each for each in warnings_of([""] * 40))


def test_test_texts_that_occur_in_training_are_counted_and_scored_apart():
    hypotheses = REFERENCES[:20] + GARBLED[20:]
    training = [text.upper() + "!" for text in REFERENCES[:20]]

    (warning,) = warnings_of(hypotheses, training=training)

    assert "20 references (50%) occur in training too" in warning
    assert "chrF 100.00 with them alone" in warning


def test_where_all_occur_in_training_the_warning_says_so():
    (warning,) = warnings_of(REFERENCES, training=REFERENCES)
    assert warning.startswith("All 40 references (100%)")


def test_a_loss_that_chance_explains_is_none():
    nearly = [*REFERENCES[:-1], "we eat fish on day 18"]
    assert not is_loss("chrf", losses_of(REFERENCES, nearly)["chrf"])
    (line,) = describe_losses({"hands only": losses_of(REFERENCES, nearly)})
    assert "where nothing is distinguishable at 95%: hands only -" in line


def test_a_real_loss_is_one_in_errors_too():
    found = losses_of(REFERENCES, GARBLED)
    assert is_loss("chrf", found["chrf"])
    assert is_loss("cer", found["cer"])
    (line,) = describe_losses({"body only": found})
    assert line.startswith("chrF less the model's, where it is worse at 95%: body only -")


def test_a_control_that_is_better_is_no_loss():
    found = losses_of(GARBLED, REFERENCES)
    assert not is_loss("chrf", found["chrf"])
    assert "where it is better at 95%: face only +" in describe_losses({"face only": found})[0]
