import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import signseq
from conftest import interruptible, tiny_config
from signseq import __main__ as cli
from signseq.config import save_config
from signseq.console import run_command_line
from signseq.translation import Translator

VERBS = ("demo", "corpus", "prepare", "train", "evaluate", "translate")


@pytest.fixture
def files(prepared):
    return sorted((prepared / "poses").glob("test-*.pose"))[:3]


@pytest.fixture
def texts(trained, files):
    return [found.text for found in Translator.from_pretrained(trained).stream(files)]


def python(*arguments):
    ours = ("TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS")  # the CLI must set its own
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name not in ours},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# -------------------------------------------------------------------------------------- help


def test_help_lists_every_verb(call):
    code, out, _ = call("--help")

    assert code == 0
    assert "Usage: signseq [OPTIONS] COMMAND" in out
    assert all(f"  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(call, verb):
    code, out, _ = call(verb, "--help")

    assert code == 0
    assert f"Usage: signseq {verb}" in out


def test_help_imports_nothing_heavy():
    program = """
import sys
from signseq.__main__ import main
sys.argv = ["signseq", "--help"]
try:
    main()
except SystemExit:
    heavy = {"torch", "transformers", "pydantic", "numpy", "pandas", "yaml"} & set(sys.modules)
    sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = python("-c", program)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "a.yaml", "--fast"], []])
def test_usage_errors_end_with_code_2(call, arguments):
    code, out, err = call(*arguments)

    assert code == 2
    assert "Usage: signseq" in out + err
    assert "Traceback" not in err


# ------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.yaml"], "nowhere.yaml: no such config file"),
        (["prepare", "nowhere.yaml"], "nowhere.yaml: no such config file"),
        (["evaluate", "nowhere"], "nowhere: no such checkpoint folder"),
        (["translate", "nowhere", "a.pose"], "nowhere: no such checkpoint folder"),
    ],
)
def test_a_mistake_is_one_message_without_traceback(call, arguments, message):
    code, out, err = call(*arguments)

    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_one_line(call, make_config, tmp_path, monkeypatch, number):
    save_config(make_config(), tmp_path / "config.yaml")

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number), "a/file")

    monkeypatch.setattr("signseq.preparation.prepare", fail)
    code, _, err = call("prepare", tmp_path / "config.yaml")

    assert code == 1
    assert err == f"error: a/file: {os.strerror(number)}. What was finished is kept.\n"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_torch_writes_is_one_line(
    call, make_config, tmp_path, monkeypatch
):
    save_config(make_config(), tmp_path / "config.yaml")

    def fail(*args, **kwargs):
        torch.save(torch.zeros(100_000), "/dev/full")

    monkeypatch.setattr("signseq.training.run.train", fail)
    code, _, err = call("train", tmp_path / "config.yaml")

    assert code == 1
    assert err.startswith("error: a file could not be written to its end; the disk is full")
    assert err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback(make_config, tmp_path, monkeypatch):
    save_config(make_config(), tmp_path / "config.yaml")

    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("signseq.preparation.prepare", fail)
    monkeypatch.setattr(sys, "argv", ["signseq", "prepare", str(tmp_path / "config.yaml")])

    with pytest.raises(ZeroDivisionError):
        cli.main()


# ----------------------------------------------------------------------------------- translate


def test_one_file_prints_only_the_sentence(call, trained, files, texts):
    assert call("translate", trained, files[0]) == (0, f"{texts[0]}\n", "")


def test_several_files_print_path_and_sentence(call, trained, files, texts):
    code, out, _ = call("translate", trained, *files)

    assert code == 0
    assert out.splitlines() == [f"{file}\t{text}" for file, text in zip(files, texts, strict=True)]


def test_folders_and_globs_stand_for_their_files(call, trained, files, tmp_path):
    (tmp_path / "inner").mkdir()
    for file in files:
        (tmp_path / "inner" / file.name).write_bytes(file.read_bytes())
    copies = [str(tmp_path / "inner" / file.name) for file in files]

    for name in (tmp_path, tmp_path / "**" / "*.pose", tmp_path / "inner" / "test-*.pose"):
        _, out, _ = call("translate", trained, name)
        assert [line.split("\t")[0] for line in out.splitlines()] == copies


def test_a_name_with_brackets_is_a_file_not_a_glob(call, trained, files, texts, tmp_path):
    path = tmp_path / "video [abc].pose"
    path.write_bytes(files[0].read_bytes())

    code, out, _ = call("translate", trained, path)

    assert (code, out.strip()) == (0, texts[0])


@pytest.mark.parametrize("flags", [["--dry-run", "--overfit"], ["--resume", "--overwrite"]])
def test_flags_that_exclude_each_other_are_a_usage_error(call, flags):
    code, _, err = call("train", "any.yaml", *flags)

    assert code == 2
    assert "exclude each other" in err
    assert all(flag in err for flag in flags)


def test_json_gives_one_object_a_line(call, trained, files, texts, tmp_path):
    code, out, err = call("translate", trained, "--json", *files, tmp_path / "missing.pose")
    *found, missing = [json.loads(line) for line in out.splitlines()]

    assert code == 1
    assert [entry["text"] for entry in found] == texts
    assert all(set(entry) == {"file", "text", "score", "seconds"} for entry in found)
    assert set(missing) == {"file", "error"}
    assert "1 of 4 files could not be translated" in err


def test_n_best_prints_several_lines_and_scores(call, trained, files, texts):
    _, out, _ = call("translate", trained, "--n-best", "3", "--scores", files[0])
    lines = [line.split("\t") for line in out.splitlines()]

    assert [len(line) for line in lines] == [2, 2, 2]
    assert lines[0][1] == texts[0]
    assert [float(line[0]) for line in lines] == sorted(
        (float(line[0]) for line in lines), reverse=True
    )


def test_n_best_in_json_has_them_all(call, trained, files):
    _, out, _ = call("translate", trained, "--n-best", "2", "--json", files[0])
    entry = json.loads(out)

    assert len(entry["n_best"]) == 2
    assert entry["n_best"][0] == {"text": entry["text"], "score": entry["score"]}


def test_a_missing_file_is_one_error(call, trained, tmp_path):
    code, out, err = call("translate", trained, tmp_path / "missing.pose")

    assert (code, out) == (1, "")
    assert err.startswith(f"error: {tmp_path / 'missing.pose'}: ")
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_read_does_not_stop_the_others(call, trained, files, tmp_path):
    (tmp_path / "broken.pose").write_bytes(b"no pose")
    code, out, err = call("translate", trained, files[0], tmp_path / "broken.pose", files[1])

    assert code == 1
    assert len(out.splitlines()) == 2
    assert "broken.pose" in err


@pytest.mark.parametrize("name", ["", "*.pose"])
def test_a_place_without_poses_is_an_error(call, trained, tmp_path, name):
    code, _, err = call("translate", trained, tmp_path / name)

    assert code == 1
    assert err.endswith("no poses or videos there.\n")


# ------------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("arguments", [[], ["--no-blind"]])
def test_evaluate_prints_a_table(call, run_folder, arguments):
    code, out, err = call("evaluate", run_folder, "--split", "val", *arguments)

    assert (code, err) == (0, "")
    assert "BLEU-4" in out.splitlines()[0]
    assert ("blind: poses zeroed" in out) is (not arguments)


def test_nothing_but_the_answer_is_shown(trained, files, texts):
    """No bars, warnings or log lines of the libraries below."""
    done = python("-m", "signseq", "translate", trained, files[0])

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{texts[0]}\n", "")


def test_the_whole_way_from_poses_to_sentences(call, write_corpus_files, make_config):
    folder = write_corpus_files(train=24, val=6, test=6)
    config = folder / "config.yaml"
    save_config(make_config("training.best_metric=cer"), config)

    assert call("prepare", config, "--workers", "1")[0] == 0
    assert "parameters" in call("train", config, "--dry-run")[1]
    assert "the model can learn" in call("train", config, "--overfit")[1]
    assert not (folder / "run").exists()
    assert "signseq evaluate" in call("train", config, "training.num_epochs=3")[1]
    assert "blind: poses zeroed" in call("evaluate", folder / "run")[1]
    code, out, _ = call("translate", folder / "run", folder / "poses" / "test-*.pose")

    rows = (folder / "run" / "predictions.tsv").read_text().splitlines()[1:]
    predictions = {row.split("\t")[0]: row.split("\t")[2] for row in rows}
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert {Path(path).stem: text for path, text in lines} == predictions


def test_ctrl_c_ends_with_a_message_and_keeps_what_was_saved(prepared, tmp_path):
    place = f"training.checkpoint_dir={tmp_path / 'run'}"
    endless = ("training.num_epochs=100000", "training.best_metric=cer", "training.num_workers=1")
    save_config(tiny_config(prepared, *endless, place), tmp_path / "config.yaml")
    process = subprocess.Popen(
        interruptible("-m", "signseq", "train", tmp_path / "config.yaml"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            if any((tmp_path / "run").glob("checkpoint-*/trainer_state.json")):
                break
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 130
    assert "Interrupted. What was saved is kept" in err
    assert "--resume" in err
    assert "Traceback" not in err
    assert any((tmp_path / "run").glob("checkpoint-*/trainer_state.json"))


# -------------------------------------------------------------------------- the Python package


def test_importing_the_package_imports_nothing_heavy():
    program = """
import sys, signseq
assert not {"torch", "transformers", "numpy", "pydantic"} & set(sys.modules), "import signseq"
signseq.PoseSequence, signseq.load_config
assert not {"torch", "transformers"} & set(sys.modules), "poses and config"
"""
    done = python("-c", program)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", signseq.__all__)
def test_every_public_name_is_there(name):
    assert getattr(signseq, name).__name__ == name


def test_verbs_are_functions_whatever_was_imported_before():
    from signseq import evaluate, prepare, train

    assert [verb.__name__ for verb in (evaluate, prepare, train)] == [
        "evaluate",
        "prepare",
        "train",
    ]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = signseq.trian


@pytest.mark.parametrize(
    ("verb", "said"),
    [("train", " with --resume."), ("pose", " again."), ("subtitle", "Interrupted.")],
)
def test_ctrl_c_says_how_this_verb_goes_on(verb, said, monkeypatch, capsys):
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["signseq", verb])

    with pytest.raises(SystemExit):
        run_command_line(stop)

    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_what_silences_the_descriptor_of_errors_does_not_silence_our_messages():
    """As MediaPipe's output is kept back while it works in another thread."""
    program = """
import os, logging
from signseq.console import run_command_line

def stop(**_):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    logging.getLogger("signseq").info("one clip is odd")
    raise KeyboardInterrupt

run_command_line(stop)
"""
    done = python("-c", program)

    assert done.returncode == 130
    assert done.stderr.startswith("one clip is odd\nInterrupted.")
