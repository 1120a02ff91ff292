"""The estimate of memory, beside what torch's allocator, peft and bitsandbytes really do."""

import resource

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, BertConfig, EncoderDecoderConfig
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from signseq.config import LoraSettings
from signseq.errors import ModelError
from signseq.model.adapters import add_lora
from signseq.model.architectures import ENCODER_DECODERS, refusal
from signseq.model.memory import StepSize, estimate_memory
from signseq.model.outline import (
    QuantizedLinear,
    add_adapters,
    outline,
    parameter_count,
    sign_outline,
)
from signseq.model.recomputation import recompute_activations
from signseq.model.sizes import resize

ENCODER = {"type": "conv", "stride": 2, "width": 32, "kernel": 5, "positions": "auto"}
KEYPOINTS = tuple("abcdefgh")
TINY = {"width": 64, "layers": 2, "heads": 4, "feed_forward": 128}
SIZE = StepSize(batch_size=16, frames=40, tokens=10)
KINDS = ("bart", "t5", "gpt2")
# They look at numbers while they run, which fake tensors don't have.
BY_FORMULA = {"fsmt", "led", "switch_transformers", "nllb-moe"}


def tiny(kind, **settings):
    ends = {"bos_token_id": 1, "eos_token_id": 1} if kind == "gpt2" else {}
    return resize(AutoConfig.for_model(kind, vocab_size=400, **ends), TINY, settings)


def estimate(config, method="full", size=SIZE, **settings):
    given = {"encoder": ENCODER, "keypoints": KEYPOINTS, "rank": 4} | settings
    return estimate_memory(config, method, size=size, **given)


@pytest.fixture(scope="module")
def base():
    return estimate(tiny("bart"))


def real_peak(config, method="full", *, size=SIZE, checkpointing=False):
    """Bytes that torch's allocator gave out at most in a real step, weights apart."""
    torch.manual_seed(0)
    text_model = outline(config)
    if method == "lora":
        add_adapters(text_model, rank=4, targets=None, quantize=False)
    model = sign_outline(
        text_model, encoder=ENCODER, keypoints=KEYPOINTS, dimensions=2, label_smoothing=0.1
    ).train()
    if checkpointing:
        recompute_activations(model)
    ids = torch.ones(size.batch_size, size.tokens, dtype=torch.long)
    shape = (size.batch_size, size.frames)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(
                torch.zeros(*shape, len(KEYPOINTS), 3),
                torch.ones(shape, dtype=torch.long),
                labels=ids,
                decoder_input_ids=ids,
            ).loss
        loss.backward()
    events = [
        event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


# ------------------------------------------------------------------------------- beside reality


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_takes_what_torch_allocates(kind, method):
    found = estimate(tiny(kind), method)

    assert not found.by_formula
    assert found.step == pytest.approx(real_peak(tiny(kind), method), rel=0.02)


def test_a_small_batch_takes_what_the_gradients_take():
    size = StepSize(batch_size=1, frames=8, tokens=2)

    found = estimate(tiny("bart"), size=size)

    assert found.step >= 4 * found.trainable
    assert found.step == pytest.approx(real_peak(tiny("bart"), size=size), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_with_gradient_checkpointing_too(kind):
    found = estimate(tiny(kind, use_cache=False), gradient_checkpointing=True)

    real = real_peak(tiny(kind, use_cache=False), checkpointing=True)
    assert not found.by_formula
    assert found.step == pytest.approx(real, rel=0.05)
    assert found.step < estimate(tiny(kind)).step


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_parameters_train_as_peft_adds(kind):
    model = sign_outline(outline(tiny(kind)), encoder=ENCODER, keypoints=KEYPOINTS, dimensions=2)
    add_lora(model, LoraSettings(r=4))

    real = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    assert estimate(tiny(kind), "lora").trainable == sum(real)


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_that_transformers_quantizes_count_as_quantized(kind):
    from transformers.pytorch_utils import Conv1D

    with torch.device("meta"):
        real, ours = outline(tiny(kind)), outline(tiny(kind))
        add_adapters(ours, rank=4, targets=None, quantize=True)

    kept = HfQuantizer.get_modules_to_not_convert(real, None, real._keep_in_fp32_modules)
    quantized = {
        name
        for name, module in real.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and should_convert_module(name, kept)
    }
    found = {
        name.removesuffix(".base")
        for name, module in ours.named_modules()
        if isinstance(module, QuantizedLinear)
    }
    assert found == quantized


def test_quantized_weights_take_what_bitsandbytes_stores():
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(512, 512, bias=False, compress_statistics=True, quant_type="nf4")
    layer.load_state_dict({"weight": torch.randn(512, 512)})
    layer = layer.to("cpu")
    state = layer.weight.quant_state
    real = layer.weight.nbytes + state.absmax.nbytes + state.state2.absmax.nbytes

    width = {"d_model": 512, "d_ff": 512, "num_heads": 8, "num_layers": 1, "vocab_size": 10}
    plain, quantized = (
        estimate(AutoConfig.for_model("bart", **_bart(width)), method).weights
        for method in ("lora", "qlora")
    )
    count = 4 * 3 + 2 * 2  # attentions have four matrices, feed-forward layers two
    assert (plain - quantized) / count == pytest.approx(512 * 512 * 4 - real)


def _bart(width):
    sides = {"attention_heads": 8, "ffn_dim": 512, "layers": 1}
    return {"d_model": 512, "vocab_size": 10, "max_position_embeddings": 64} | {
        f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in sides.items()
    }


# -------------------------------------------------------------------------------------- by itself


def test_weights_and_averages_are_counted_exactly(base):
    with torch.device("meta"):
        text_model = outline(tiny("bart"))
        model = sign_outline(text_model, encoder=ENCODER, keypoints=KEYPOINTS, dimensions=2)
    buffers = sum(buffer.nbytes for buffer in model.buffers())

    assert base.trainable == parameter_count(model)
    assert base.weights == 4 * parameter_count(model) + buffers
    assert base.optimizer == 8 * parameter_count(model)
    assert base.total == base.weights + base.optimizer + base.step


def test_an_output_layer_of_its_own_is_counted():
    config = tiny("mt5")

    more = estimate(config, has_own_head=True).trainable - estimate(config).trainable

    assert more == 400 * 64


def test_the_same_model_takes_the_same_every_time(base):
    assert estimate(tiny("bart")) == base


@pytest.mark.parametrize(
    "change", [{"batch_size": 32}, {"frames": 80}, {"tokens": 20}, {"prompt": 20}]
)
def test_larger_batches_take_more(base, change):
    larger = StepSize(**{**vars(SIZE), **change})

    found = estimate(tiny("bart"), size=larger)
    assert found.step > base.step
    assert not found.by_formula


def test_lora_takes_less_than_full_training_and_qlora_less_than_lora(base):
    lora, qlora = (estimate(tiny("bart"), method) for method in ("lora", "qlora"))

    assert base.total > lora.total > qlora.total
    assert base.optimizer > lora.optimizer == qlora.optimizer
    assert lora.weights > qlora.weights


def test_a_model_larger_than_the_memory_can_be_estimated():
    config = AutoConfig.for_model("t5", d_model=16384, d_ff=65536, num_layers=2, num_heads=256)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    found = estimate(config)

    assert found.weights > 50 * 2**30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024  # KiB


@pytest.mark.parametrize("kind", ["led", "switch_transformers"])
def test_where_a_step_cannot_be_run_a_formula_takes_its_place(kind):
    found = estimate(tiny(kind))

    assert found.by_formula
    assert found.step > 4 * found.trainable


def test_targets_that_match_nothing_are_an_error_for_adapters_only():
    assert estimate(tiny("t5"), targets=["q_proj"]).total
    with pytest.raises(ModelError, match="q_proj matches no linear layer"):
        estimate(tiny("t5"), "lora", targets=["q_proj"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind for kind in ENCODER_DECODERS if refusal(AutoConfig.for_model(kind)) is None]
)
def test_a_step_of_every_architecture_is_run_or_known_not_to_be(kind):
    if kind == "encoder-decoder":
        sides = (BertConfig(vocab_size=400, num_hidden_layers=2) for _ in range(2))
        config = EncoderDecoderConfig.from_encoder_decoder_configs(*sides)
    else:
        config = AutoConfig.for_model(kind)
    for key in ("encoder_layerdrop", "decoder_layerdrop"):
        if key in config.to_dict():
            setattr(config, key, 0.0)
    if kind == "bigbird_pegasus":
        config.attention_type = "original_full"

    assert estimate(config).by_formula == (kind in BY_FORMULA)
