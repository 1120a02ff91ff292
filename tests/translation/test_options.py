import pytest
import torch

from conftest import sign_pose
from signseq.config import GenerationConfig
from signseq.errors import ConfigError, ModelError
from signseq.model.vocabulary import train_tokenizer
from signseq.translation import Translator
from signseq.translation import translator as translating
from signseq.translation.options import choose_settings

OWN = GenerationConfig(num_beams=2, max_new_tokens=8)


@pytest.fixture(scope="module")
def translator(trained):
    return Translator.from_pretrained(trained)


def test_what_is_not_given_is_the_checkpoints():
    assert choose_settings(OWN, {}) == OWN
    assert choose_settings(OWN, {"num_beams": None}) == OWN


def test_what_is_given_replaces_it():
    given = {"num_beams": 4, "length_penalty": 0.5, "no_repeat_ngram_size": 3, "max_new_tokens": 9}

    assert choose_settings(OWN, given).model_dump() == given


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 0},
        {"num_beams": 101},
        {"max_new_tokens": -1},
        {"n_best": 0},
        {"n_best": 101},
        {"length_penalty": "x"},
    ],
)
def test_a_value_that_cannot_be_is_an_error_that_names_it(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} = "):
        choose_settings(OWN, options)


def test_clips_of_one_batch_are_translated_like_alone(translator):
    clips = [translator.pack(sign_pose(text)) for text in ("we eat bread", "you")]

    together = translator.translate_clips(clips, n_best=2)

    for clip, found in zip(clips, together, strict=True):
        [alone] = translator.translate_clips([clip], n_best=2)
        assert found.text == alone.text
        assert found.score == pytest.approx(alone.score, abs=1e-4)
        assert len(found.alternatives) == 2


def test_no_clips_give_no_translations(translator):
    assert translator.translate_clips([]) == []


def test_the_longest_text_is_limited(translator):
    pose = sign_pose("we eat bread")

    short = translator.translate(pose, max_new_tokens=1).text

    assert len(short) < len(translator.translate(pose).text)


def test_wrong_options_are_said_before_anything_is_read(translator):
    def sources():
        raise AssertionError("was asked for")
        yield

    with pytest.raises(ConfigError, match="num_beams = 0"):
        next(translator.stream(sources(), num_beams=0))
    with pytest.raises(ModelError, match="no codes for languages"):
        next(translator.stream(sources(), target_language="en"))


def test_warnings_come_with_the_translation(translator):
    found = translator.translate(sign_pose("we eat bread " * 4))

    assert found.warnings == ("cut after 64 frames (data.max_frames); 2.9 s.",)


def test_what_is_kept_of_a_long_clip_is_no_view_of_all_of_it(translator):
    poses = translator.pack(sign_pose("we eat bread " * 4)).poses

    assert len(poses) == 64
    assert poses.base is None


@pytest.mark.parametrize("name", ["t5", "qwen2"])
def test_a_prompt_is_read_by_the_model_as_in_training(make_model, clips, name):
    """The same as what `forward` says when it is given the prompt."""
    model, batch = make_model(name).eval(), clips(16, 9)
    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)
    prompt = torch.tensor(tokenizer("we see", add_special_tokens=False)["input_ids"])
    prompts = prompt.expand(2, -1)

    told = model.generate(**batch, prompts=prompts, max_new_tokens=1, min_new_tokens=1)
    start = torch.full((2, 1), model.config.pad_token_id)
    with torch.no_grad():
        logits = model(
            **batch,
            prompts=prompts,
            decoder_input_ids=start if model.is_causal else told[:, :1],
        ).logits[:, -1]
        without = model(
            **batch, decoder_input_ids=start if model.is_causal else told[:, :1]
        ).logits[:, -1]

    eos = model.text_model.generation_config.eos_token_id
    logits[:, eos] = -torch.inf
    assert (told[:, -1] == logits.argmax(-1)).all()
    assert not torch.allclose(logits[:, :5], without[:, :5], atol=1e-4)


def test_a_batch_whose_scores_have_no_room_is_searched_in_parts(translator, monkeypatch):
    clips = [translator.pack(sign_pose(text)) for text in ("we eat bread", "you", "you see water")]
    together = translator.translate_clips(clips, n_best=2)
    sizes = []
    generate = translating.generate_texts

    def count(model, tokenizer, batch, **settings):
        sizes.append(len(batch["poses"]))
        return generate(model, tokenizer, batch, **settings)

    monkeypatch.setattr(translating, "generate_texts", count)
    words = translator.model.get_input_embeddings().weight.shape[0]
    beams, tokens = max(2, translator.settings.num_beams), translator.settings.max_new_tokens
    monkeypatch.setattr(translating, "MOST_SCORES", 2 * 4 * words * beams * tokens)

    apart = translator.translate_clips(clips, n_best=2)

    assert sizes == [2, 1]
    assert [each.text for each in apart] == [each.text for each in together]


@pytest.mark.parametrize("is_prompted", [None, True])
def test_a_prompt_for_a_model_that_never_saw_one_is_warned_of_once(trained, caplog, is_prompted):
    own = Translator.from_pretrained(trained)
    told = Translator(own.model, own.tokenizer, settings=OWN, is_prompted=is_prompted)

    for _ in range(2):
        told.translate(sign_pose("you"), prompt="we see")

    assert caplog.text.count("trained without prompts") == (0 if is_prompted else 1)
