import pytest
import torch

from signseq.errors import ModelError
from signseq.model.freezing import freeze


def frozen(model):
    return {name for name, weight in model.named_parameters() if not weight.requires_grad}


def test_nothing_is_frozen_unless_asked(make_model):
    model = make_model()
    freeze(model)

    assert not frozen(model)


def test_freezing_the_encoder_leaves_decoder_and_embeddings(make_model):
    model = make_model("bart")
    freeze(model, encoder=True)

    inside = {name for name, _ in model.named_parameters() if "text_model.model.encoder." in name}
    assert frozen(model) == inside
    assert model.get_input_embeddings().weight.requires_grad


def test_freezing_the_decoder_leaves_the_encoder(make_model):
    model = make_model("bart")
    freeze(model, decoder=True)

    assert frozen(model) == {
        name
        for name, _ in model.named_parameters()
        if name.startswith("text_model.") and "text_model.model.encoder." not in name
    }


@pytest.mark.parametrize("name", ["bart", "t5", "m2m_100"])
def test_the_pose_encoder_always_trains(make_model, name):
    model = make_model(name)
    freeze(model, encoder=True, decoder=True)

    assert all(weight.requires_grad for weight in model.pose_encoder.parameters())
    assert not any(weight.requires_grad for weight in model.text_model.parameters())


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_what_is_frozen_stays_and_the_rest_learns(make_model, clips, name):
    model = make_model(name)
    freeze(model, encoder=True, decoder=True)
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    batch = clips(16, 9) | {"labels": torch.tensor([[7, 8, 2], [9, 7, 2]])}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = last = model(**batch).loss

    for _ in range(5):
        optimizer.zero_grad()
        last.backward()
        optimizer.step()
        last = model(**batch).loss

    assert last.item() < first.item()
    for key, weight in model.state_dict().items():
        if key.startswith("text_model."):
            assert weight.equal(before[key])


def test_a_decoder_only_model_is_all_decoder(make_model):
    model = make_model("llama")
    with pytest.raises(
        ModelError, match=r"a llama model has no encoder; model\.freeze_decoder freezes"
    ):
        freeze(model, encoder=True)

    freeze(model, decoder=True)

    assert not any(weight.requires_grad for weight in model.text_model.parameters())
    assert all(weight.requires_grad for weight in model.pose_encoder.parameters())


def test_embeddings_that_only_the_encoder_has_are_frozen_with_it(make_model):
    model = make_model("bert", decoder_name="gpt2")
    freeze(model, encoder=True)

    inside = {name for name, _ in model.named_parameters() if "text_model.encoder." in name}
    assert "text_model.encoder.embeddings.word_embeddings.weight" in inside
    assert frozen(model) >= inside
    assert model.text_model.decoder.transformer.wte.weight.requires_grad
