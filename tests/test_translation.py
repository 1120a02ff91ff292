import math

import pytest
import torch

from conftest import sign_pose, tiny_config
from signseq.config import GenerationConfig
from signseq.data.batching import collate
from signseq.errors import PoseError
from signseq.evaluation import translate_store
from signseq.model.generation import generate_texts
from signseq.poses.sequence import read_pose, write_pose
from signseq.preparation import open_split
from signseq.translation import Translation, Translator

GREEDY = GenerationConfig(num_beams=1, max_new_tokens=8)


@pytest.fixture(scope="module")
def translator(trained):
    return Translator.from_pretrained(trained)


@pytest.fixture(scope="module")
def files(prepared):
    return sorted((prepared / "poses").glob("test-*.pose"))


def test_a_trained_model_translates_unseen_clips(translator):
    assert translator.translate(sign_pose("you see bread", seed=99)).text == "you see bread"


def test_a_path_its_bytes_and_the_pose_give_the_same(translator, files):
    wanted = translator.translate(files[0])

    assert translator.translate(str(files[0])) == wanted
    assert translator.translate(files[0].read_bytes()) == wanted
    assert translator.translate(read_pose(files[0])) == wanted


@pytest.mark.parametrize("several", [list, tuple, iter])
def test_several_clips_are_sent_to_stream(translator, several):
    with pytest.raises(PoseError, match="A clip can't be a ") as refused:
        translator.translate(several([sign_pose("you"), sign_pose("we")]))
    [found] = translator.stream([several(["a.pose"])], keep_errors=True)

    assert "Several clips are for Translator.stream" in str(refused.value)
    assert "Translator.stream" in found.error


def test_one_clip_is_not_taken_for_its_letters(translator, files):
    for one in (str(files[0]), files[0], files[0].read_bytes(), sign_pose("you")):
        with pytest.raises(PoseError, match=r"Translator\.translate"):
            list(translator.stream(one, keep_errors=True))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_batch_and_one_by_one_agree(translator, files, num_beams):
    together = list(translator.stream(files, num_beams=num_beams, batch_size=12))
    alone = list(translator.stream(files, num_beams=num_beams, batch_size=1))

    assert [found.text for found in together] == [found.text for found in alone]
    assert [found.score for found in together] == pytest.approx(
        [found.score for found in alone], abs=1e-4
    )


def test_order_is_kept_with_mixed_lengths(translator):
    texts = ["we eat bread", "you", "you see", "water", "we see water", "eat"] * 3
    poses = [sign_pose(text, seed=50 + number) for number, text in enumerate(texts)]
    alone = [translator.translate(pose).text for pose in poses]

    found = [one.text for one in translator.stream(iter(poses), batch_size=2)]

    assert found == alone
    assert len(set(found)) > 4


def test_training_and_translation_make_poses_ready_alike(translator, prepared):
    """Texts from the store equal texts from the files that the store was packed from."""
    store = open_split(tiny_config(prepared).data, "test")
    from_store = translate_store(
        translator.model, translator.tokenizer, store, settings=translator.settings
    )
    paths = [prepared / "poses" / f"{store.details(i)['uid']}.pose" for i in range(len(store))]

    assert [one.text for one in translator.stream(paths)] == from_store
    assert (translator.pack(paths[0]).poses == store.clip(0)).all()


def test_alternatives_are_ordered_and_begin_with_the_text(translator, files):
    found = translator.translate(files[2], n_best=4)
    scores = [score for _, score in found.alternatives]

    assert len(found.alternatives) == 4
    assert scores == sorted(scores, reverse=True)
    assert found.alternatives[0] == (found.text, found.score)
    assert len({text for text, _ in found.alternatives}) > 1


@pytest.mark.parametrize("num_beams", [None, 1, 4])
def test_the_number_of_beams_reaches_the_search(translator, files, monkeypatch, num_beams):
    seen = []
    generate = translator.model.generate
    monkeypatch.setattr(
        translator.model,
        "generate",
        lambda *args, **given: seen.append(given) or generate(*args, **given),
    )

    list(translator.stream(files[:1], num_beams=num_beams))

    assert [given["num_beams"] for given in seen] == [num_beams or translator.settings.num_beams]


@pytest.mark.parametrize("num_beams", [1, 2])
def test_scores_are_log_probabilities(translator, files, num_beams):
    for found in translator.stream(files, num_beams=num_beams):
        assert math.isfinite(found.score)
        assert found.score <= 0


def test_a_greedy_score_is_the_mean_log_probability_of_the_tokens(translator, files):
    model, tokenizer = translator.model, translator.tokenizer
    clips = [{"poses": translator.pack(file).poses, "labels": []} for file in files[:3]]
    batch = collate(clips)
    found = generate_texts(model, tokenizer, batch, settings=GREEDY)

    for row, [(text, score)] in enumerate(found):
        labels = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            loss = model(
                batch["poses"][row : row + 1], batch["attention_mask"][row : row + 1], labels
            ).loss
        assert score == pytest.approx(-float(loss), abs=1e-4)


def test_a_score_is_per_token_whatever_the_length_penalty(translator, files):
    wanted = translator.translate(files[0], n_best=3).alternatives

    for penalty in (2.0, 0.0):
        found = translator.translate(files[0], n_best=3, length_penalty=penalty).alternatives
        assert [text for text, _ in found] == [text for text, _ in wanted]
        scores = [score for _, score in wanted]
        assert [score for _, score in found] == pytest.approx(scores, abs=1e-4)


def test_texts_without_scores_are_the_same(translator, files):
    batch = collate([{"poses": translator.pack(files[0]).poses, "labels": []}])

    [[(scored, _)]] = generate_texts(translator.model, translator.tokenizer, batch, settings=GREEDY)
    [[(text, score)]] = generate_texts(
        translator.model, translator.tokenizer, batch, settings=GREEDY, scored=False
    )

    assert text == scored
    assert math.isnan(score)


def test_the_error_of_one_file_keeps_the_others(translator, files, tmp_path):
    broken = tmp_path / "broken.pose"
    broken.write_bytes(b"not a pose")
    sources = [files[0], broken, tmp_path / "missing.pose", files[1]]

    found = list(translator.stream(sources, keep_errors=True))

    assert [one.error is None for one in found] == [True, False, False, True]
    assert str(broken) in found[1].error
    assert found[1].text == ""
    assert found[3].text == translator.translate(files[1]).text


def test_the_error_of_one_file_raises_where_not_kept(translator, files, tmp_path):
    with pytest.raises(PoseError, match=r"missing\.pose"):
        list(translator.stream([files[0], tmp_path / "missing.pose"]))


def test_no_sources_give_no_translations(translator):
    assert list(translator.stream([])) == []


def test_sources_are_read_as_they_are_needed(translator):
    def endless():
        while True:
            yield sign_pose("we eat")

    assert next(translator.stream(endless(), batch_size=2)).text == "we eat"


def test_long_clips_are_cut_with_a_warning(translator, caplog):
    pose = sign_pose("we eat bread we eat bread we eat bread we eat bread")

    found = translator.translate(pose)

    assert "cut after 64 frames (data.max_frames)" in caplog.text
    assert found.seconds == pytest.approx(72 / 25)


def test_seconds_are_those_of_the_clip(translator):
    assert translator.translate(sign_pose("we eat")).seconds == pytest.approx(12 / 25)


def test_generation_settings_come_with_the_checkpoint(translator, run_folder):
    assert translator.settings.num_beams == 2
    (run_folder / "config.yaml").unlink()

    assert Translator.from_pretrained(run_folder).settings == GenerationConfig()


def test_a_written_pose_translates_like_the_pose(translator, tmp_path):
    pose = sign_pose("you see water", seed=5)
    write_pose(tmp_path / "a.pose", pose, size=(500, 500))

    assert translator.translate(tmp_path / "a.pose").text == translator.translate(pose).text


def test_a_translation_is_plain_data():
    assert Translation("we eat", -0.1, 1.0).alternatives == ()
