"""What is promised of every text model, shown for each architecture that transformers has.

The list is read from transformers: an architecture that a new version brings fails here until it
works. `python docs/conformance.py` runs this module and writes its outcome into docs/models.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig

from signseq.config import LoraSettings
from signseq.errors import ModelError
from signseq.model.adapters import add_lora, load_lora, merge_lora, without_adapters
from signseq.model.architectures import ENCODER_DECODERS, position_limit, refusal
from signseq.model.feeding import run_encoder
from signseq.model.freezing import freeze
from signseq.model.lora_targets import find_targets
from signseq.model.recomputation import recompute_activations
from signseq.model.self_check import check_for_leaks
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.text_models import embedding_scale

COMPOSITE = "bert+gpt2"  # an encoder and a decoder of two names
WRITERS = [name for name in ENCODER_DECODERS if refusal(AutoConfig.for_model(name)) is None]
CAUSAL = "gemma gemma2 gemma3_text gpt2 llama mistral opt qwen2 qwen3".split()
ARCHITECTURES = [*WRITERS, COMPOSITE, *CAUSAL]

# In transformers' mapping, though they listen to audio.
AUDIO = {
    *("audioflamingo3", "glmasr", "granite_speech", "granite_speech_plus", "musicflamingo"),
    *("moss_transcribe_diarize", "nemo_speechlm", "qwen2_audio", "qwen3_asr", "vibevoice_asr"),
    *("voxtral", "voxtral_realtime"),
}

# claim -> architectures that can't meet it, with the upstream reason; shown in the table
EXCEPTIONS = {
    "gradient checkpointing": {"fsmt": "transformers implements none for it"},
}
MIXTURES = {"switch_transformers", "nllb-moe"}

claim = pytest.mark.claim
every = pytest.mark.parametrize("name", ARCHITECTURES)
Build = Callable[..., SignTranslationModel]
Clips = Callable[..., dict[str, Tensor]]


def settings_of(name: str) -> dict[str, Any]:
    """No noise of any kind, few experts."""
    known = {} if name == COMPOSITE else AutoConfig.for_model(name).to_dict()
    quiet = dict.fromkeys((key for key, value in known.items() if is_noise(key, value)), 0.0)
    if name in (COMPOSITE, "encoder-decoder"):
        for side, kind in (("encoder", "bert"), ("decoder", name.rpartition("+")[2])):
            inner = AutoConfig.for_model("bert" if kind == "encoder-decoder" else kind).to_dict()
            quiet |= {f"{side}.{key}": 0.0 for key, value in inner.items() if is_noise(key, value)}
    return quiet | ({"num_experts": 4} if name in MIXTURES else {})


def is_noise(key: str, value: Any) -> bool:
    return isinstance(value, float) and ("drop" in key or "pdrop" in key or "jitter" in key)


@pytest.fixture(scope="module")
def build(make_model: Build) -> Build:
    """A tiny model of an architecture with random weights."""

    def make(name: str, **settings: Any) -> SignTranslationModel:
        kind, _, decoder = name.partition("+")
        more = {"decoder_name": decoder} if decoder else {}
        return make_model(kind, config=settings_of(name), **more, **settings)

    return make


LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])


def expert(name: str) -> bool:
    """Whether a parameter belongs to an expert, which a batch may leave out."""
    return ".expert" in name


def loss_of(model: SignTranslationModel, batch: dict[str, Tensor], **more: Any) -> Tensor:
    loss = model(**batch, **more).loss
    assert loss is not None
    return loss


def logits_of(model: SignTranslationModel, batch: dict[str, Tensor], labels: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model.train(False)(**batch, labels=labels).logits
    return logits


def gradients(model: SignTranslationModel) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


# -------------------------------------------------------------------------------- 1. learning


@claim("learns")
@every
def test_one_step_lowers_the_loss_and_reaches_every_parameter(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name)
    batch = clips(16, 9) | {"labels": LABELS}
    before = loss_of(model, batch)
    before.backward()
    missed = [key for key, grad in gradients(model).items() if grad is None and not expert(key)]
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=1e-2).step()

    assert missed == []
    assert loss_of(model, batch).item() < before.item()


@claim("learns")
@every
def test_the_loss_is_the_text_models_own(build: Build, clips: Clips, name: str) -> None:
    model = build(name, label_smoothing=0.0).train(False)
    batch = clips(16, 9)
    text_model: Any = model.text_model
    with torch.no_grad():
        loss = loss_of(model, batch, labels=LABELS)
        embeddings, mask = model.embed(batch["poses"], batch["attention_mask"])
        if model.is_causal:
            told = text_model.get_input_embeddings()(LABELS.clamp(min=0))
            whole = torch.cat([embeddings, told], dim=1)
            silent = torch.full(mask.shape, -100)
            attention = torch.cat([mask, torch.ones_like(LABELS)], dim=1)
            wanted = {"inputs_embeds": whole, "attention_mask": attention}
            wanted |= {"position_ids": (attention.cumsum(1) - 1).clamp(min=0)}
            own = text_model(**wanted, labels=torch.cat([silent, LABELS], dim=1)).loss
        else:
            fed = model.shift_right(LABELS)
            wanted = {"encoder_outputs": run_encoder(text_model, embeddings, mask)}
            wanted |= {"attention_mask": mask, "decoder_input_ids": fed, "use_cache": False}
            wanted |= {"input_ids": fed} if name == "fsmt" else {}
            # ProphetNet's own is of the tokens after the next one too; composites warn of theirs
            if name in ("prophetnet", "encoder-decoder", COMPOSITE):
                own = F.cross_entropy(text_model(**wanted).logits.flatten(0, 1), LABELS.flatten())
            else:
                own = text_model(**wanted, labels=LABELS.clone()).loss

    torch.testing.assert_close(loss, own)


# --------------------------------------------------------------------------------- 2. padding


@claim("padding")
@every
def test_a_clip_alone_and_padded_in_a_batch_gives_the_same(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name)
    together = clips(16, 9)
    alone = {key: value[1:, :9] for key, value in together.items()}

    torch.testing.assert_close(
        logits_of(model, together, LABELS)[1:],
        logits_of(model, alone, LABELS[1:]),
        atol=1e-5,
        rtol=1e-4,
    )


@claim("padding")
@every
def test_junk_in_the_padding_changes_nothing(build: Build, clips: Clips, name: str) -> None:
    model = build(name)
    clean = clips(16, 9)
    dirty = deepcopy(clean)
    dirty["poses"][1, 9:] = float("nan")

    assert logits_of(model, dirty, LABELS).equal(logits_of(model, clean, LABELS))


@claim("padding")
@every
def test_the_decoder_sees_neither_the_future_nor_the_padding(build: Build, name: str) -> None:
    check_for_leaks(build(name))


@claim("lengths")
@every
@pytest.mark.parametrize("frames", [1, 2, 255])
def test_short_and_long_clips_train(build: Build, clips: Clips, name: str, frames: int) -> None:
    model = build(name, encoder={"stride": 4}, max_frames=255)

    loss = loss_of(model, clips(frames) | {"labels": LABELS[:1]})
    loss.backward()

    assert torch.isfinite(loss)


@claim("lengths")
@every
def test_a_clip_beyond_the_limit_is_an_error_that_names_it(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name, encoder={"stride": 1})
    limit = position_limit(model.text_model.config)
    if limit is None or limit > 5000:
        frames = 600  # no limit, or none that matters: a long clip just works
        assert torch.isfinite(logits_of(model, clips(frames), LABELS[:1])).all()
        return
    with pytest.raises(
        ModelError, match=rf"takes at most {limit}\. Raise model\.encoder\.stride or data\.step"
    ):
        model(**clips(limit + 1), labels=LABELS[:1])


# ------------------------------------------------------------------------------ 3. generation


@claim("greedy")
@every
def test_greedy_search_takes_the_likeliest_token_at_every_step(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name).train(False)
    batch = clips(16)
    generated = model.generate(**batch, num_beams=1, max_new_tokens=6, do_sample=False)
    start = generated[:, :1] if not model.is_causal else torch.zeros(1, 1, dtype=torch.long)
    written = generated if model.is_causal else generated[:, 1:]
    ids = start

    for _ in range(written.shape[1]):
        with torch.no_grad():
            likeliest = model(**batch, decoder_input_ids=ids).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, likeliest], dim=1)

    assert ids[:, 1:].equal(written)


@claim("greedy")
@every
def test_training_and_generation_start_with_the_same_token(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name).train(False)
    fed = model.shift_right(torch.tensor([[7, 8, 2]]))[0].tolist()
    assert fed[1:] == [7, 8]
    if not model.is_causal:
        generated = model.generate(**clips(16), num_beams=1, max_new_tokens=1)
        assert generated[0, 0].item() == fed[0]


@claim("beams")
@every
def test_beam_search_returns_the_best_first_and_doesnt_depend_on_the_batch(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name).train(False)
    settings = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 5}
    settings |= {"return_dict_in_generate": True, "output_scores": True}
    together = clips(16, 9)
    alone = {key: value[1:, :9] for key, value in together.items()}

    found, single = model.generate(**together, **settings), model.generate(**alone, **settings)

    scores = found.sequences_scores.view(2, 3)
    assert bool((scores[:, :-1] >= scores[:, 1:]).all())
    assert scores[1].tolist() == pytest.approx(single.sequences_scores.tolist(), abs=1e-4)


# --------------------------------------------------------------------------- 4. embedding scale


@claim("scale")
@every
def test_pose_embeddings_enter_at_the_size_of_token_embeddings(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name, encoder={"positions": "none"})
    batch = clips(60)
    ids = torch.arange(20)
    tokens = model.get_input_embeddings()(ids)

    embeddings, _ = model.pose_encoder(batch["poses"], batch["attention_mask"])

    assert size(embeddings) == pytest.approx(size(tokens), rel=0.15)
    assert size(embeddings) == pytest.approx(embedding_scale(model.text_model), rel=0.02)


def size(embeddings: Tensor) -> float:
    """Root mean square."""
    return float(embeddings.detach().float().pow(2).mean().sqrt())


@claim("scale")
@every
def test_embeddings_enter_as_the_tokens_they_are_made_of(build: Build, name: str) -> None:
    """So that whatever the text model does to its tokens' embeddings is done to ours."""
    text_model: Any = build(name).train(False).text_model
    stack = text_model if name in CAUSAL else text_model.get_encoder()
    ids = torch.tensor([[7, 8, 9, 10]])
    embeddings = text_model.get_input_embeddings()(ids)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        by_tokens = stack(input_ids=ids, attention_mask=mask, return_dict=True)[0]
        given = {"inputs_embeds": embeddings, "attention_mask": mask, "return_dict": True}
        by_embeddings = stack(input_ids=None, **given)[0]

    torch.testing.assert_close(by_embeddings, by_tokens)


# -------------------------------------------------------------------------------- 5. save, load


@claim("save, load")
@every
def test_a_saved_model_is_loaded_the_same(
    build: Build, clips: Clips, tmp_path: Path, name: str
) -> None:
    model = build(name)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)
    batch = clips(16, 9)

    saved = model.state_dict()
    assert all(weight.equal(saved[key]) for key, weight in loaded.state_dict().items())
    torch.testing.assert_close(  # to float noise: where weights lie in memory changes sums of experts
        logits_of(loaded, batch, LABELS), logits_of(model, batch, LABELS), atol=2e-6, rtol=0
    )
    settings = {"num_beams": 2, "max_new_tokens": 6}
    assert loaded.generate(**batch, **settings).equal(model.generate(**batch, **settings))
    kinds = {path.suffix for path in tmp_path.iterdir()}
    assert kinds == {".safetensors", ".json"}


@claim("save, load")
@every
def test_tied_weights_are_still_tied_after_loading(build: Build, tmp_path: Path, name: str) -> None:
    model = build(name)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)

    def storages(model: SignTranslationModel) -> int:
        return len({weight.data_ptr() for weight in model.state_dict().values()})

    assert storages(loaded) == storages(model)


# --------------------------------------------------------------------------------------- 6. LoRA


@claim("LoRA")
@every
def test_adapters_and_the_pose_encoder_train_and_nothing_else(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    adapted = add_lora(model, LoraSettings(r=4))
    batch = clips(16, 9) | {"labels": LABELS}
    trained = {key: value for key, value in adapted.named_parameters() if value.requires_grad}
    optimizer = torch.optim.Adam(trained.values(), lr=3e-3)

    first = loss_of(model.train(False), batch).item()
    for _ in range(3):
        optimizer.zero_grad()
        adapted(**batch).loss.backward()
        optimizer.step()

    adapters = {key for key in trained if ".lora_" in key}
    assert len(adapters) >= 2
    assert all(".text_model." in key for key in adapters)
    assert all(".pose_encoder." in key for key in trained.keys() - adapters)
    assert all(value.grad is not None for value in trained.values())
    assert all(
        plain(key) not in before or value.equal(before[plain(key)])
        for key, value in adapted.named_parameters()
        if key not in trained
    )
    assert loss_of(model, batch).item() < first


def plain(key: str) -> str:
    """A parameter's name as it was before peft wrapped it."""
    for part in (
        "base_model.model.",
        "base_layer.",
        "original_module.",
        "modules_to_save.default.",
    ):
        key = key.replace(part, "")
    return key


@claim("LoRA")
@every
def test_adapters_are_reloaded_and_merged_the_same(
    build: Build, clips: Clips, tmp_path: Path, name: str
) -> None:
    adapted = add_lora(build(name), LoraSettings(r=4))
    shake(adapted)
    model, batch = without_adapters(adapted), clips(16, 9)
    wanted = logits_of(model, batch, LABELS)
    adapted.save_pretrained(str(tmp_path / "adapter"))

    again = load_lora(build(name), tmp_path / "adapter")
    reloaded = logits_of(without_adapters(again), batch, LABELS)
    whole = merge_lora(adapted)
    whole.config.base_digest = None
    whole.save_pretrained(tmp_path / "merged")
    merged = SignTranslationModel.from_pretrained(tmp_path / "merged")

    torch.testing.assert_close(reloaded, wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(logits_of(merged, batch, LABELS), wanted, atol=1e-5, rtol=1e-5)
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json")
    }
    assert not [key for key in merged.state_dict() if "lora" in key or "original_module" in key]


def shake(adapted: Any) -> None:
    """Random adapters, as if trained: fresh ones change nothing."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=rng)


@claim("LoRA")
@every
def test_the_users_own_target_modules_are_taken(build: Build, name: str) -> None:
    model = build(name)
    target = find_targets(model.text_model)[-1].rpartition(".")[2]
    adapted = add_lora(model, LoraSettings(r=4, target_modules=[target]))

    found = {key.split(".lora_")[0] for key, _ in adapted.named_parameters() if ".lora_" in key}

    assert {key.rpartition(".")[2] for key in found} == {target}
    with pytest.raises(ModelError, match=r"nothing_like_it matches no linear layer.*are called"):
        add_lora(build(name), LoraSettings(target_modules=["nothing_like_it"]))


# ----------------------------------------------------------------------------------- 7. freezing


@claim("freezing")
@every
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_freezing_stops_exactly_one_side_and_the_rest_still_learns(
    build: Build, clips: Clips, name: str, side: str
) -> None:
    model = build(name)
    if model.is_causal and side == "encoder":
        with pytest.raises(ModelError, match="no encoder"):
            freeze(model, encoder=True)
        return
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    freeze(model, encoder=side == "encoder", decoder=side == "decoder")
    batch = clips(16, 9) | {"labels": LABELS}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)

    first = loss_of(model, batch)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()

    moved = {key for key, value in model.named_parameters() if not value.equal(before[key])}
    inside = {
        f"text_model.{key}"
        for key, _ in model.text_model.named_parameters()
        if belongs(model, key, side)
    }
    assert not moved & inside
    assert all(
        value.requires_grad for key, value in model.named_parameters() if key in trained - inside
    )
    assert all(key in moved for key in trained if key.startswith("pose_encoder"))
    assert loss_of(model, batch).item() < first.item()


def belongs(model: SignTranslationModel, key: str, side: str) -> bool:
    """Whether a parameter of the text model is its encoder's, embeddings left out; or the rest."""
    if model.is_causal:
        return True
    shared = {id(p) for p in model.get_input_embeddings().parameters()}
    of_encoder = {id(p) for p in model.text_model.get_encoder().parameters()} - shared
    parameter = dict(model.text_model.named_parameters())[key]
    return (id(parameter) in of_encoder) == (side == "encoder")


# ----------------------------------------------------------------------------- 8. precision, memory


@claim("bf16")
@every
def test_bfloat16_autocast_trains(build: Build, clips: Clips, name: str) -> None:
    model = build(name)
    batch = clips(16, 9) | {"labels": LABELS}
    exact = loss_of(model, batch).item()

    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, batch)
    loss.backward()

    assert loss.item() == pytest.approx(exact, rel=0.03)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_suite_leaves_out_audio_models_alone() -> None:
    """So that no architecture disappears from it by being refused."""
    assert set(ENCODER_DECODERS) - set(WRITERS) <= AUDIO


def count_calls(model: SignTranslationModel) -> Counter[str]:
    """How often each module of the text model runs, counted from now on."""
    calls: Counter[str] = Counter()
    for key, module in model.text_model.named_modules():
        module.register_forward_pre_hook(lambda *_, key=key: calls.update([key]))
    return calls


@claim("gradient checkpointing")
@every
def test_gradient_checkpointing_changes_no_gradient(build: Build, clips: Clips, name: str) -> None:
    model = build(name)
    if name in EXCEPTIONS["gradient checkpointing"]:
        with pytest.raises(ModelError, match=f"can't do it with {name} models"):
            recompute_activations(model)
        return
    calls = count_calls(model)
    batch = clips(16, 9) | {"labels": LABELS}
    model.train()
    loss_of(model, batch).backward()
    wanted = {key: grad.clone() for key, grad in gradients(model).items() if grad is not None}
    model.zero_grad()

    once = calls.copy()
    calls.clear()
    recompute_activations(model)
    loss_of(model, batch).backward()
    assert any(calls[key] > once[key] for key in once)  # it was really computed again

    for key, grad in gradients(model).items():
        if key in wanted:
            torch.testing.assert_close(grad, wanted[key], atol=1e-5, rtol=1e-4, msg=key)


@claim("accumulation")
@every
def test_accumulating_four_clips_equals_a_batch_of_four(
    build: Build, clips: Clips, name: str
) -> None:
    model = build(name)
    if name in MIXTURES:  # how evenly the experts are used is defined of a batch, not of a clip
        model.text_model.config.router_aux_loss_coef = 0.0
        model.text_model.config.router_z_loss_coef = 0.0
        model.text_model.router_aux_loss_coef = model.text_model.router_z_loss_coef = 0.0
    batch, labels = clips(16, 9, 12, 4), torch.cat([LABELS, LABELS.flip(0)])
    count = labels.ne(-100).sum()
    model.train()
    whole = loss_of(model, batch, labels=labels, num_items_in_batch=count)
    whole.backward()
    wanted = {key: grad.clone() for key, grad in gradients(model).items() if grad is not None}
    model.zero_grad()

    total = 0.0
    for row in range(4):
        part = {key: value[row : row + 1] for key, value in batch.items()}
        loss = loss_of(model, part, labels=labels[row : row + 1], num_items_in_batch=count)
        loss.backward()
        total += loss.item()

    assert total == pytest.approx(whole.item(), rel=1e-5)
    for key, grad in gradients(model).items():
        if key in wanted:
            torch.testing.assert_close(grad, wanted[key], atol=1e-5, rtol=1e-4, msg=key)
