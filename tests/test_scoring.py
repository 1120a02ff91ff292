import csv
import json

import pytest

from signseq.errors import DataError
from signseq.metrics import METRICS, PLAIN, score
from signseq.predictions import read_texts
from signseq.scoring import format_report, score_files

HYPOTHESES = ["we eat bread", "", "you see water now"]
REFERENCES = ["we eat bread", "you", "you see the water"]


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(
            content
            if isinstance(content, bytes)
            else "".join(f"{line}\n" for line in content).encode()
        )
        return path

    return write


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "predictions.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("uid", "reference", "hypothesis", "other"))
        writer.writerows(zip("abc", REFERENCES, HYPOTHESES, REFERENCES[::-1], strict=True))
    return path


def test_files_of_lines_are_scored_as_their_texts_are(write):
    found = score_files(write("hyp", HYPOTHESES), [write("ref", REFERENCES)])

    assert found == score(HYPOTHESES, REFERENCES)


def test_windows_line_ends_a_byte_order_mark_and_a_missing_last_one_change_nothing(write):
    windows = b"\xef\xbb\xbf" + "\r\n".join(REFERENCES).encode()

    assert score_files(write("hyp", HYPOTHESES), [write("ref", windows)]) == score(
        HYPOTHESES, REFERENCES
    )


def test_only_line_feeds_end_lines(write):
    text = "we\u2028eat\x0bbread\x85now"

    assert read_texts(write("texts", [text]), []) == [text]


def test_several_files_of_references_are_several_references(write):
    files = [write("one", REFERENCES), write("two", HYPOTHESES)]

    found = score_files(write("hyp", HYPOTHESES), files)
    assert found.exact_match == pytest.approx(100 * 2 / 3)  # an empty one is not there
    assert found == score(HYPOTHESES, [REFERENCES, HYPOTHESES])


def test_a_table_holds_both(table):
    assert score_files(table) == score(HYPOTHESES, REFERENCES)


def test_columns_can_be_chosen(table):
    found = score_files(table, hypothesis_column="other", reference_columns=["reference", "other"])

    assert found.exact_match == 100
    assert found == score(REFERENCES[::-1], [REFERENCES, REFERENCES[::-1]])


def test_a_table_of_references_may_be_the_corpus_own(write, table):
    corpus = write(
        "test.csv",
        ["uid,text", *(f"{uid},{text}" for uid, text in zip("abc", REFERENCES, strict=True))],
    )

    assert score_files(table, [corpus]) == score(HYPOTHESES, REFERENCES)


def test_a_run_folder_stands_for_its_predictions(table):
    assert score_files(table.parent) == score(HYPOTHESES, REFERENCES)


@pytest.mark.parametrize(
    ("hypotheses", "message"),
    [
        (
            ["a"],
            r"hyp has 1 texts, .*ref has 2: from text 2 of .*ref \('b'\) on, .*hyp has nothing",
        ),
        (["a", "b", ""], r"has 3 texts.*from text 3 of .*hyp \(''\).*over are empty lines"),
    ],
)
def test_files_of_different_length_name_both_and_the_place(write, hypotheses, message):
    with pytest.raises(DataError, match=message):
        score_files(write("hyp", hypotheses), [write("ref", ["a", "b"])])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hyp", b"a\nb\xff\n", r"hyp, line 2: not UTF-8 \(byte 0xff\)"),
        ("hyp.tsv", b"hypothesis\na\nb\xff\n", r"hyp.tsv, line 3: not UTF-8"),
        ("hyp", b"", r"the file is empty"),
        ("hyp.tsv", b"uid\ttext\n1\ta\n", r"no column 'hypothesis' \(has: uid, text\)"),
        ("hyp.tsv", b"hypothesis\n", r"header but no rows"),
    ],
)
def test_what_cannot_be_read_says_where(write, name, content, message):
    with pytest.raises(DataError, match=message):
        score_files(write(name, content), [write("ref", ["a", "b"])])


def test_a_missing_file_and_missing_references_are_told(write, tmp_path):
    with pytest.raises(DataError, match=r"gone: can't be read"):
        score_files(tmp_path / "gone", [write("ref", ["a"])])
    with pytest.raises(DataError, match="no references"):
        score_files(write("hyp", ["a"]))
    with pytest.raises(DataError, match="signseq evaluate"):
        score_files(tmp_path)


def test_an_empty_reference_is_named_by_its_number(write):
    with pytest.raises(DataError, match=r"ref: text 2 has an empty reference\."):
        score_files(write("hyp", ["a", "b"]), [write("ref", ["a", ""])])


def test_one_text_is_told_to_have_no_interval(write):
    scores = score(["a"], ["a"], resamples=20)

    assert "1 text, normalize" in format_report(scores)
    assert "One text gives no interval" in format_report(scores)


def test_the_report_shows_every_score_with_its_signature():
    scores = score(HYPOTHESES, REFERENCES, resamples=20, normalize="lower")
    report = format_report(scores)

    for name in PLAIN:
        line = next(line for line in report.splitlines() if line.startswith(METRICS[name]))
        assert f"{scores.values()[name]:.2f}" in line
        assert scores.signatures[name] in line
        assert f"[{scores.intervals[name][0]:.2f}, " in line
    assert "3 texts, normalize: lower, tokenize: 13a" in report


def test_the_command_prints_json(call, write):
    files = [write("hyp", HYPOTHESES), write("ref", REFERENCES)]
    code, out, err = call("score", *files, "--metrics", "bleu,chrf++", "--confidence", "--json")

    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["chrf_pp"] == score(HYPOTHESES, REFERENCES).chrf_pp
    assert set(found["intervals"]) == {"chrf_pp", "bleu4"}
    assert found["signatures"]["bleu4"].startswith("nrefs:1|")


def test_the_command_names_the_nearest_metric(call, write):
    code, out, err = call("score", write("hyp", ["a"]), write("ref", ["a"]), "--metrics", "cehr")

    assert (code, out) == (1, "")
    assert "did you mean cer" in err or "did you mean chrf" in err
