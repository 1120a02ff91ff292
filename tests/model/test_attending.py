"""Which frames each token's attention goes to."""

import pytest
import torch

from signseq.model.attending import attend, eager_attention

LABELS = [5, 6, 7, 2]


@pytest.mark.parametrize("name", ["bart", "t5", "m2m_100", "prophetnet", "qwen2", "gpt2"])
def test_each_token_attends_to_every_position_of_the_frames(make_model, clips, name):
    model = make_model(name).eval()
    with eager_attention(model):
        found = attend(model, clips(20)["poses"], LABELS)

    assert found.shape == (len(LABELS), 10)  # a stride of 2
    assert (found > 0).all()
    assert (found.sum(dim=1) <= 1 + 1e-4).all()


def test_cross_attention_to_the_frames_is_all_there_is(make_model, clips):
    model = make_model("bart").eval()
    with eager_attention(model):
        found = attend(model, clips(20)["poses"], LABELS)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(4))


def test_what_goes_to_registers_is_left_out(make_model, clips):
    model = make_model("bart", encoder={"registers": 3}).eval()
    with eager_attention(model):
        found = attend(model, clips(20)["poses"], LABELS)
    assert found.shape == (4, 10)
    assert (found.sum(dim=1) < 1).all()


def test_a_causal_model_attends_to_its_own_text_too(make_model, clips):
    model = make_model("qwen2").eval()
    with eager_attention(model):
        found = attend(model, clips(20)["poses"], LABELS)
    sums = found.sum(dim=1)
    torch.testing.assert_close(sums[0], torch.tensor(1.0))  # nothing is written yet
    assert sums[-1] < 1


def test_later_text_does_not_change_earlier_attention(make_model, clips):
    model = make_model("qwen2").eval()
    poses = clips(20)["poses"]
    with eager_attention(model):
        one, other = attend(model, poses, LABELS), attend(model, poses, [5, 6, 3, 4])
    torch.testing.assert_close(one[:2], other[:2])


@pytest.mark.parametrize("name", ["bart", "prophetnet"])
def test_a_token_attends_with_what_was_written_before_it(make_model, clips, name):
    """The first row is that of the start token alone, whatever is written."""
    model = make_model(name).eval()
    poses = clips(20)["poses"]
    with eager_attention(model):
        one, other = attend(model, poses, LABELS), attend(model, poses, [5, 3, 4, 2])
    torch.testing.assert_close(one[:2], other[:2])
    assert not torch.allclose(one[2:], other[2:], atol=1e-7)


def test_the_implementation_of_attention_is_put_back(make_model, clips):
    model = make_model("bart").eval()
    before = model.text_model.config._attn_implementation
    with eager_attention(model):
        assert model.text_model.config._attn_implementation == "eager"
    assert model.text_model.config._attn_implementation == before


def test_an_architecture_without_weights_gives_none(make_model, clips, monkeypatch):
    from signseq.model import attending

    model = make_model("bart").eval()
    monkeypatch.setattr(attending, "predict", lambda *given, **named: {"logits": None})
    with eager_attention(model):
        assert attend(model, clips(20)["poses"], LABELS) is None
