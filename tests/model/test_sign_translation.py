import pytest
import torch
from torch.nn import functional as F
from transformers import GenerationConfig

from signseq.errors import CheckpointError, ModelError
from signseq.model.building import build_model
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationConfig, SignTranslationModel

LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])


def test_padding_does_not_change_the_logits(make_model, clips):
    model = make_model().train(False)
    batch = clips(9, 40)

    alone = model(batch["poses"][:1, :9], batch["attention_mask"][:1, :9], labels=LABELS[:1])
    padded = model(**batch, labels=LABELS)

    torch.testing.assert_close(padded.logits[:1], alone.logits, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["bart", "t5", "m2m_100", "blenderbot", "mbart"])
def test_the_decoder_is_fed_the_labels_one_step_late(make_model, name):
    fed = make_model(name).shift_right(LABELS)

    assert fed.tolist() == [[2, 7, 8, 9], [2, 9, 7, 2]]


def test_shifting_leaves_the_labels_alone(make_model):
    labels = LABELS.clone()
    make_model().shift_right(labels)

    assert labels.equal(LABELS)


def test_generation_starts_as_training_does_in_mbart(make_model):
    model = make_model("mbart")

    assert model.text_model.generation_config.decoder_start_token_id == 2
    assert model.config.generation["decoder_start_token_id"] == 2


def test_a_start_token_of_0_is_a_token(make_model):
    text_model = make_model("t5").text_model
    text_model.config.decoder_start_token_id = 0
    text_model.generation_config = GenerationConfig(eos_token_id=2)

    model = rebuild(text_model)

    assert model.text_model.generation_config.decoder_start_token_id == 0


def test_generation_settings_of_another_task_are_dropped(make_model):
    text_model = make_model().text_model
    text_model.generation_config.update(min_length=56, length_penalty=2.0, forced_bos_token_id=1)

    generation = rebuild(text_model).text_model.generation_config

    assert (generation.min_length, generation.length_penalty) == (None, None) or (
        generation.min_length,
        generation.length_penalty,
    ) == (0, 1.0)
    assert generation.forced_bos_token_id == 1


def rebuild(text_model, **settings):
    return build_model(
        text_model,
        encoder={"type": "linear", "positions": "none"},
        recipe={"keypoints": "hands", "normalize": "none", "fps": None, "dimensions": 2},
        keypoints=("a",),
        mean=torch.zeros(1, 2),
        spread=torch.ones(1, 2),
        **{"max_frames": 32, **settings},
    )


def test_label_smoothing_is_for_training_only(make_model, clips):
    smooth = make_model(label_smoothing=0.2)
    plain = make_model(label_smoothing=0.0)
    batch = clips(16, 9) | {"labels": LABELS}

    assert smooth.train(False)(**batch).loss.equal(plain.train(False)(**batch).loss)
    assert not smooth.train()(**batch).loss.allclose(plain.train()(**batch).loss)


def test_smoothed_loss_is_torchs(make_model, clips):
    model = make_model(label_smoothing=0.2).train()
    output = model(**clips(16, 9), labels=LABELS)

    wanted = F.cross_entropy(output.logits.flatten(0, 1), LABELS.flatten(), label_smoothing=0.2)

    torch.testing.assert_close(output.loss, wanted)


def test_the_loss_is_divided_by_the_items_of_the_whole_step(make_model, clips):
    model = make_model().train(False)
    batch = clips(16, 9) | {"labels": LABELS}
    count = int(LABELS.ne(-100).sum())

    mean = model(**batch).loss

    torch.testing.assert_close(model(**batch, num_items_in_batch=10 * count).loss, mean / 10)
    torch.testing.assert_close(model(**batch, num_items_in_batch=torch.tensor(count)).loss, mean)


def test_the_trainer_is_told_to_pass_the_number_of_items():
    assert SignTranslationModel.accepts_loss_kwargs


def test_neither_labels_nor_inputs_for_the_decoder_is_an_error(make_model, clips):
    with pytest.raises(ValueError, match="labels or decoder_input_ids"):
        make_model()(**clips(8))


# -------------------------------------------------------------------------- the position limit


def test_clips_that_the_positions_do_not_reach_are_an_error_when_built(make_model):
    with pytest.raises(
        ModelError, match=r"up to 150 inputs.*at most 128.*encoder\.stride.*step_frames"
    ):
        make_model("blenderbot", max_frames=300)


def test_a_larger_stride_makes_them_fit(make_model):
    make_model("blenderbot", max_frames=300, encoder={"stride": 4})


def test_clips_that_the_positions_do_not_reach_are_an_error_in_forward(make_model, clips):
    model = make_model(config={"max_position_embeddings": 32})

    with pytest.raises(
        ModelError, match=r"72 frames gives 36 inputs.*at most 32.*encoder\.stride.*step_frames"
    ):
        model(**clips(72), labels=LABELS[:1])


def test_models_with_relative_positions_take_any_length(make_model, clips):
    model = make_model("t5", max_frames=5000)

    assert model(**clips(1500), labels=LABELS[:1]).logits.isfinite().all()


# ------------------------------------------------------------------------------ the self-check


@pytest.mark.parametrize("name", ["bart", "marian", "m2m_100"])
def test_a_loaded_model_keeps_its_causal_mask(make_model, tmp_path, name):
    make_model(name).save_pretrained(tmp_path)
    model = SignTranslationModel.from_pretrained(tmp_path)

    assert model.text_model.config._attn_implementation is not None
    check_for_leaks(model)


def test_a_decoder_that_sees_the_future_is_caught(make_model, monkeypatch):
    model = make_model("bart")
    model.text_model.set_attn_implementation("eager")
    monkeypatch.setattr(
        "transformers.models.bart.modeling_bart.create_causal_mask", lambda **_: None
    )

    with pytest.raises(ModelError, match="bart decoder sees the tokens that it is to predict"):
        check_for_leaks(model)


def test_padding_that_leaks_is_caught(make_model, monkeypatch):
    model = make_model("bart")
    encode = model.pose_encoder.forward
    monkeypatch.setattr(
        model.pose_encoder, "forward", lambda poses, mask: encode(poses, torch.ones_like(mask))
    )

    with pytest.raises(ModelError, match="Padding changes what the bart model computes"):
        check_for_leaks(model)


def test_the_self_check_leaves_training_mode_as_it_was(make_model):
    model = make_model().train()
    check_for_leaks(model)

    assert model.training


# ------------------------------------------------------------------------------ a whole recipe


def test_the_checkpoint_holds_recipe_and_statistics(make_model, tmp_path):
    model = make_model(step_frames=3, max_frames=48, label_smoothing=0.1)
    model.pose_encoder.features.mean.fill_(0.5)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)

    assert (loaded.config.step_frames, loaded.config.max_frames) == (3, 48)
    assert (loaded.config.label_smoothing, loaded.config.recipe) == (0.1, model.config.recipe)
    assert loaded.config.keypoints == ["a", "b", "c", "d"]
    assert float(loaded.pose_encoder.features.mean.mean()) == 0.5


def test_special_tokens_are_those_of_the_text_model(make_model):
    config = make_model().config

    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 2)


def test_points_that_never_move_do_not_divide_by_zero(make_model):
    assert float(rebuild(make_model().text_model).pose_encoder.features.spread.min()) >= 1e-3


def test_a_config_without_parts_is_a_checkpoint_error():
    with pytest.raises(CheckpointError, match="lacks text_model, encoder, recipe or keypoints"):
        SignTranslationModel(SignTranslationConfig())
