"""Each option of the pose encoder keeps what is promised of every text model (see test_conformance.py)."""

import numpy as np
import pytest
import torch

from signseq.errors import ModelError
from signseq.model.building import build_text_side
from signseq.model.ctc import find_ctc_targets
from signseq.model.self_check import check_for_leaks, leaves_parameters_unused
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.vocabulary import train_tokenizer
from signseq.poses.keypoints import NOSE, SHOULDERS, WRISTS

LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])
OPTIONS = {
    "part_gcn": {"type": "part_gcn", "width": 8},
    "part_gcn, stride 4, all options": {
        **{"type": "part_gcn", "width": 8, "stride": 4, "layers": 1, "registers": 2},
        "channels": ["motion"],
    },
    "conv, layers": {"layers": 2},
    "conv, registers": {"registers": 3},
    "ctc": {"registers": 1},
}
every = pytest.mark.parametrize("option", OPTIONS)
three = pytest.mark.parametrize("name", ["t5", "bart", "qwen2"])


@pytest.fixture(scope="module")
def build(make_model):
    """A tiny model with one of the options."""
    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)
    ctc = find_ctc_targets(tokenizer, [np.arange(4, 16)], kind="characters", weight=0.5)

    def make(name, option):
        return make_model(
            name,
            encoder=OPTIONS[option],
            keypoints=(SHOULDERS[0], *WRISTS, NOSE),
            ctc=ctc if option == "ctc" else None,
        )

    return make


@three
@every
def test_one_step_lowers_the_loss_and_reaches_every_parameter(build, clips, name, option):
    model = build(name, option).train()
    batch = clips(24, 17) | {"labels": LABELS}
    before = model(**batch).loss
    before.backward()
    missed = [k for k, p in model.named_parameters() if p.requires_grad and p.grad is None]
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=1e-2).step()

    assert missed == []
    assert model(**batch).loss.item() < before.item()
    assert not leaves_parameters_unused(model)


@three
@every
def test_nothing_leaks_and_padding_changes_no_logits(build, clips, name, option):
    model = build(name, option).train(False)
    batch = clips(9, 40)

    check_for_leaks(model)
    with torch.no_grad():
        alone = model(batch["poses"][:1, :9], batch["attention_mask"][:1, :9], labels=LABELS[:1])
        padded = model(**batch, labels=LABELS)

    torch.testing.assert_close(padded.logits[:1], alone.logits, rtol=1e-4, atol=1e-5)


@three
@every
def test_what_is_generated_doesnt_depend_on_the_batch(build, clips, name, option):
    model = build(name, option).train(False)
    together = clips(16, 9)
    alone = {key: value[1:, :9] for key, value in together.items()}
    settings = {"num_beams": 2, "max_new_tokens": 5, "min_new_tokens": 5}

    found, single = model.generate(**together, **settings), model.generate(**alone, **settings)

    assert found[1].equal(single[0])


@three
@every
def test_a_saved_model_is_loaded_the_same(build, clips, tmp_path, name, option):
    model = build(name, option)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)
    batch = clips(16, 9) | {"labels": LABELS}

    saved = model.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(weight.equal(saved[key]) for key, weight in loaded.state_dict().items())
    with torch.no_grad():
        one, other = (each.train(False)(**batch).logits for each in (model, loaded))
    torch.testing.assert_close(other, one, atol=2e-6, rtol=0)


# ------------------------------------------------------------------------------------ registers


def test_registers_count_towards_the_position_limit(make_model, clips):
    config = {"max_position_embeddings": 32}
    fits = make_model(config=config, max_frames=56, encoder={"registers": 4}).train(False)

    assert fits(**clips(56), labels=LABELS[:1]).logits.isfinite().all()
    with pytest.raises(ModelError, match=r"58 gives up to 33 inputs.*at most 32"):
        make_model(config=config, max_frames=58, encoder={"registers": 4})
    with pytest.raises(ModelError, match=r"58 frames gives 33 inputs.*at most 32"):
        fits(**clips(58), labels=LABELS[:1])


@pytest.mark.parametrize("name", ["bart", "qwen2"])
def test_registers_stand_between_prompt_and_frames(make_model, clips, name):
    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)
    text_model = make_model(name).text_model
    side = build_text_side(text_model, tokenizer, max_length=16, prompt="we see")
    told = len(side.before) + len(side.after)
    model = make_model(name, text_side=side, encoder={"registers": 2}).train(False)
    batch = clips(16, 9)

    embeddings, mask = model.embed(**batch)

    assert mask.sum(1).tolist() == [told + 2 + 8, told + 2 + 5]
    padding = mask.shape[1] - mask.sum(1) if model.is_causal else torch.zeros(2, dtype=torch.long)
    first = padding + len(side.before)
    for row in range(2):
        found = embeddings[row, first[row] : first[row] + 2]
        torch.testing.assert_close(found, model.pose_encoder.output.registers)
