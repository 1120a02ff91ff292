import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from signseq import __main__ as cli
from signseq.translation import Translator


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `signseq translate` in this process: (exit code, standard output, standard error)."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["signseq", "translate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def files(prepared):
    return sorted((prepared / "poses").glob("test-*.pose"))[:4]


@pytest.fixture(scope="module")
def texts(trained, files):
    return [found.text for found in Translator.from_pretrained(trained).stream(files)]


def test_a_pose_on_standard_input_is_translated(call, trained, files, texts):
    assert call(trained, "-", stdin=files[0].read_bytes()) == (0, f"{texts[0]}\n", "")


def test_names_on_standard_input_are_translated(call, trained, files, texts):
    names = "".join(f"{file}\n" for file in files[:2]).encode()

    code, out, _ = call(trained, "--files-from", "-", stdin=names)

    assert code == 0
    assert out == "".join(f"{file}\t{text}\n" for file, text in zip(files, texts[:2], strict=False))


def test_a_list_of_names_in_a_file_is_translated(call, trained, files, texts, tmp_path):
    (tmp_path / "list").write_text(f"{files[1]}\n\n{files[0]}\n")

    _, out, _ = call(trained, "--files-from", tmp_path / "list")

    assert [line.split("\t")[1] for line in out.splitlines()] == [texts[1], texts[0]]


def test_a_table_is_translated_row_by_row(call, trained, files, texts, tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("uid,start,end\n" + "".join(f"{file.stem},0,9\n" for file in files))

    for arguments in ([table], ["--table", table]):
        code, out, _ = call(trained, *arguments, "--pose-dir", files[0].parent)
        assert code == 0
        assert out.splitlines() == [f"{f.stem}\t{t}" for f, t in zip(files, texts, strict=True)]


def test_tsv_has_a_header_and_a_row_for_each_sentence_and_error(call, trained, files, tmp_path):
    code, out, err = call(
        *(trained, "--format", "tsv", "--n-best", 2, files[0], tmp_path / "none.pose")
    )
    head, first, second, missing = [line.split("\t") for line in out.splitlines()]

    assert code == 1
    assert head == ["file", "rank", "seconds", "score", "text", "error"]
    assert [first[1], second[1]] == ["1", "2"]
    assert missing[0].endswith("none.pose")
    assert "none.pose" in missing[-1]
    assert "1 of 2 files could not be translated" in err


def test_options_of_the_search_reach_it(call, trained, files, monkeypatch):
    seen = []
    stream = Translator.stream
    monkeypatch.setattr(
        Translator,
        "stream",
        lambda self, *a, **given: seen.append(given) or stream(self, *a, **given),
    )
    call(
        *(trained, files[0], "--num-beams", 3, "--length-penalty", 2, "--no-repeat-ngram-size", 2),
        *("--max-new-tokens", 3, "--batch-size", 5),
    )

    assert seen[0].items() >= {
        ("num_beams", 3),
        ("length_penalty", 2.0),
        ("no_repeat_ngram_size", 2),
        ("max_new_tokens", 3),
        ("batch_size", 5),
    }


def test_results_go_to_a_file_whole(call, trained, files, texts, tmp_path):
    out = tmp_path / "in" / "found.jsonl"

    code, said, _ = call(trained, *files, "--json", "--out", out)

    assert code == 0
    assert said == f"4 translations are in {out}.\n"
    assert [json.loads(line)["text"] for line in out.read_text().splitlines()] == texts
    assert [path.name for path in out.parent.iterdir()] == ["found.jsonl"]


@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_a_killed_run_goes_on_and_ends_with_the_same_file(
    call, trained, files, tmp_path, form, monkeypatch
):
    whole, out = tmp_path / "whole", tmp_path / "found"
    call(trained, *files, "--format", form, "--out", whole)
    lines = whole.read_text().splitlines(keepends=True)
    kept = lines[:3] if form == "tsv" else lines[:2]
    (tmp_path / "found.part").write_text("".join(kept) + lines[-1][:-9])  # the last one is half
    seen = []
    pack = Translator.pack
    monkeypatch.setattr(
        Translator, "pack", lambda self, source: seen.append(source.name) or pack(self, source)
    )

    code, said, _ = call(trained, *files, "--format", form, "--out", out, "--resume")

    assert code == 0
    assert seen == [str(file) for file in files[2:]]
    assert "4 translations, 2 of them before" in said
    assert out.read_text().startswith("".join(kept))
    assert [name_in(line) for line in lines_of(out)] == [name_in(line) for line in lines_of(whole)]


def name_in(line):
    return json.loads(line)["file"] if line.startswith("{") else line.split("\t")[0]


def lines_of(path: Path):
    return path.read_text().splitlines()


def test_ctrl_c_says_where_the_results_are_and_how_to_go_on(
    call, trained, files, tmp_path, monkeypatch, caplog
):
    def stop(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Translator, "stream", stop)

    code, _, said = call(trained, *files, "--json", "--out", tmp_path / "found")

    assert (code, said) == (130, "Interrupted.\n")
    assert f"is in {tmp_path / 'found.part'}; the same command with --resume" in caplog.text


@pytest.mark.parametrize(
    ("form", "left", "said"),
    [
        ("jsonl", "found", "is there already. Go on from it with --resume. Write it anew"),
        ("jsonl", "found.part", "when it was stopped. Go on from it with --resume. Begin anew"),
        ("text", "found", "is there already. Write it anew with --overwrite"),
        ("text", "found.part", "when it was stopped. Begin anew with --overwrite"),
    ],
)
def test_what_is_there_is_only_replaced_with_overwrite(
    call, trained, files, tmp_path, form, left, said
):
    (tmp_path / left).write_text("hours of work\n")
    given = (trained, files[0], "--format", form, "--out", tmp_path / "found")

    code, _, err = call(*given)

    assert code == 1
    assert said in err
    assert (tmp_path / left).read_text() == "hours of work\n"
    assert call(*given, "--overwrite")[:2] == (0, f"1 translation is in {tmp_path / 'found'}.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["found"]


def test_a_table_that_fits_a_glob_has_its_folder_of_poses(call, trained, files, texts, tmp_path):
    (tmp_path / "clips.csv").write_text(f"uid\n{files[0].stem}\n")

    _, out, _ = call(trained, tmp_path / "cl*", "--pose-dir", files[0].parent)

    assert out == f"{texts[0]}\n"


def test_errors_are_tried_again_on_resume(call, trained, files, texts, tmp_path):
    late, out = tmp_path / "late.pose", tmp_path / "found.jsonl"
    assert call(trained, late, files[1], "--json", "--out", out)[0] == 1
    assert "error" in out.read_text()
    shutil.copy(files[0], late)

    assert call(trained, late, files[1], "--json", "--out", out, "--resume")[0] == 0
    assert [json.loads(line)["text"] for line in lines_of(out)] == texts[:2]


def test_a_file_of_something_else_is_not_resumed(call, trained, files, tmp_path):
    (tmp_path / "notes").write_text("my notes\n")

    code, _, err = call(*(trained, files[0], "--json", "--out", tmp_path / "notes", "--resume"))

    assert code == 1
    assert "holds no results as jsonl" in err
    assert (tmp_path / "notes").read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to translate"),
        (["a.pose", "--resume"], "give --out"),
        (["a.pose", "--overwrite"], "give --out"),
        (["a.pose", "--resume", "--overwrite", "--out", "a"], "leave out one"),
        (["a.pose", "--json", "--format", "tsv"], "leave out one"),
        (["--table", "a.pose"], "expected a .csv"),
        (["-", "a.pose"], "alone"),
        (["a.npy", "--fps", "25"], "need --pose-format"),
        (["a.npy", "--pose-format", "npy", "--size", "big"], "expected WIDTHxHEIGHT"),
    ],
)
def test_arguments_that_do_not_fit_are_usage_errors(call, trained, arguments, message):
    code, _, err = call(trained, *arguments)

    assert code == 2
    assert message in err


def test_a_missing_package_for_videos_is_said_before_anything_is_translated(
    call, trained, files, tmp_path, monkeypatch
):
    (tmp_path / "a.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    code, out, err = call(trained, files[0], tmp_path / "a.mp4")

    assert (code, out) == (1, "")
    assert "signseq[video]" in err


def test_a_clip_of_which_half_the_sentences_were_written_is_translated_anew(
    call, trained, files, tmp_path
):
    whole, out = tmp_path / "whole", tmp_path / "found"
    given = (trained, *files[:2], "--format", "tsv", "--n-best", 2)
    call(*given, "--out", whole)
    content = whole.read_text()
    (tmp_path / "found.part").write_text(content[: content.rindex("\t2\t")])

    _, said, _ = call(*given, "--out", out, "--resume")

    assert "2 translations, 1 of them before" in said
    assert out.read_text() == content


def test_a_name_of_two_lines_takes_one_in_a_table_and_is_known_again(
    call, trained, files, tmp_path
):
    odd, out = tmp_path / "a\nb.pose", tmp_path / "found"
    shutil.copy(files[0], odd)
    given = (trained, odd, files[1], "--format", "tsv", "--out", out)

    assert "2 translations are in" in call(*given)[1]
    assert [name_in(line) for line in lines_of(out)][1:] == [
        str(odd).replace("\n", " "),
        str(files[1]),
    ]
    assert "2 of them before" in call(*given, "--resume")[1]
    assert len(lines_of(out)) == 3


def test_a_name_of_two_lines_takes_one_in_plain_text(call, trained, files, texts, tmp_path):
    shutil.copy(files[0], tmp_path / "a\nb.pose")

    _, said, _ = call(trained, tmp_path)

    assert call(trained, tmp_path, files[1])[1].splitlines() == [
        f"{tmp_path}/a b.pose\t{texts[0]}",
        f"{files[1]}\t{texts[1]}",
    ]
    assert said == f"{texts[0]}\n"


def test_what_a_file_holds_of_other_clips_stays_in_it(call, trained, files, tmp_path):
    out = tmp_path / "found"
    call(trained, files[0], "--json", "--out", out)

    call(trained, files[1], "--json", "--out", out, "--resume")

    assert [name_in(line) for line in lines_of(out)] == [str(files[1]), str(files[0])]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "{folder}"], "is a folder"),
        (["--out", "{folder}/pipe", "--overwrite"], "isn't an ordinary file"),
        ([""], "An empty name"),
        (["--pose-dir", "{folder}"], "there is no table"),
        (
            ["--num-beams", "100000"],
            "num_beams = 100000: Input should be less than or equal to 100",
        ),
        (["--n-best", "100000"], "n_best = 100000: expected 1 to 100"),
    ],
)
def test_what_would_go_wrong_at_the_end_is_said_at_once(
    call, trained, files, tmp_path, arguments, message
):
    os.mkfifo(tmp_path / "pipe")  # as /dev/stdout may be one
    given = [each.format(folder=tmp_path) for each in arguments]

    code, out, err = call(trained, files[0], *given)

    assert (code, out) == (1, "")
    assert message in err


def test_parts_of_one_file_are_all_translated_on_resume(call, trained, files, tmp_path):
    whole, out, table = (tmp_path / name for name in ("whole", "found", "parts.csv"))
    table.write_text("path,start,end\n" + f"{files[0].name},0,0.4\n{files[0].name},0.2,0.6\n")
    given = (trained, table, "--pose-dir", files[0].parent, "--json", "--out")
    call(*given, whole)
    (tmp_path / "found.part").write_text(whole.read_text().split("\n")[0] + "\n")

    assert "2 translations, 1 of them before" in call(*given, out, "--resume")[1]
    assert len(lines_of(out)) == 2


def test_a_name_on_standard_input_that_stands_for_nothing_does_not_end_the_others(
    call, trained, files, texts, tmp_path
):
    (tmp_path / "empty").mkdir()
    names = f"{tmp_path / 'empty'}\n{tmp_path}/*.none\n{files[0]}\n".encode()

    code, out, err = call(trained, "--files-from", "-", stdin=names)

    assert (code, out) == (1, f"{files[0]}\t{texts[0]}\n")
    assert "2 of 3 files could not be translated" in err
