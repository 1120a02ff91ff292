import pytest
import torch

from signseq.model.freezing import freeze
from signseq.model.self_check import leaves_parameters_unused


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_a_loss_reaches_every_parameter_of_common_models(make_model, name):
    assert not leaves_parameters_unused(make_model(name))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_frozen_parameters_are_not_missed(make_model, part):
    model = make_model()
    freeze(model, **{part: True})

    assert not leaves_parameters_unused(model)


def test_a_parameter_that_no_loss_reaches_is_found(make_model):
    model = make_model()
    model.pose_encoder.spare = torch.nn.Parameter(torch.zeros(3))

    assert leaves_parameters_unused(model)


def test_looking_for_unused_parameters_leaves_no_trace(make_model):
    model = make_model(config={"attention_dropout": 0.5}).train()
    state = torch.get_rng_state()

    leaves_parameters_unused(model)

    assert torch.get_rng_state().equal(state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
