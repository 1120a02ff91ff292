"""Text models that are known by name, so that their size can be told without a network.

For each: its architecture, the settings by which it differs from the architecture's defaults (those
that decide sizes and positions), and the parameter count that its makers or its page on the Hugging
Face hub state, which building it from these settings must give to the digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100_CODES
from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as MBART50_CODES
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_CODES

__all__ = ["FAMILIES", "Family", "KnownModel", "find_known", "known_config"]


@dataclass(frozen=True)
class KnownModel:
    """One text model of the hub.

    Attributes:
        name: On the hub.
        architecture: What transformers calls it.
        parameters: As published.
        settings: Those of its config that differ from the architecture's defaults.
        has_own_head: Its output layer is not the token embedding. T5's config class always says
            that it is; only the weights of the later models tell.
        short: Another name for it.
    """

    name: str
    architecture: str
    parameters: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_own_head: bool = False
    short: str | None = None


@dataclass(frozen=True)
class Family:
    """Models that have their training, and so their languages and licence, in common.

    Attributes:
        name: As its makers call it.
        languages: What it can write.
        licence: In short; the model's page says the whole.
        needs: What a config must heed.
        models: From small to large.
        codes: The languages' codes, where the decoder is told one.
    """

    name: str
    languages: str
    licence: str
    needs: str
    models: tuple[KnownModel, ...]
    codes: tuple[str, ...] = ()


def _t5(name: str, parameters: int, *sizes: int, kind: str = "t5", **settings: Any) -> KnownModel:
    """The first T5: width, feed-forward width, layers, heads."""
    keys = ("d_model", "d_ff", "num_layers", "num_heads")
    settings |= dict(zip(keys, sizes, strict=True))
    own_head = settings.get("tie_word_embeddings") is False
    short = name.removeprefix("google-t5/")
    return KnownModel(name, kind, parameters, settings, own_head, short)


def _later_t5(name: str, parameters: int, *sizes: int, **settings: Any) -> KnownModel:
    """T5 1.1 and what came of it: a gated feed-forward layer, and an output layer of its own."""
    settings |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "d_kv": 64}
    return _t5(name, parameters, *sizes, **settings)


def _bart(
    name: str, parameters: int, *sizes: int, kind: str = "bart", **settings: Any
) -> KnownModel:
    """BART and its kin: width, layers, heads; the same on both sides."""
    width, layers, heads = sizes
    settings["d_model"] = width
    for side in ("encoder", "decoder"):
        settings[f"{side}_layers"] = layers
        settings[f"{side}_attention_heads"] = heads
        settings[f"{side}_ffn_dim"] = 4 * width
    return KnownModel(name, kind, parameters, settings)


def _llama(
    name: str, parameters: int, *sizes: int, kind: str = "llama", **settings: Any
) -> KnownModel:
    """Llama and its kin: width, feed-forward width, layers, heads of the queries, of keys and values."""
    keys = "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
    settings |= dict(zip(keys.split(), sizes, strict=True)) | {"tie_word_embeddings": True}
    return KnownModel(name, kind, parameters, settings)


T5 = (
    _t5("google-t5/t5-small", 60_506_624, 512, 2048, 6, 8),
    _t5("google-t5/t5-base", 222_903_552, 768, 3072, 12, 12),
    _t5("google-t5/t5-large", 737_668_096, 1024, 4096, 24, 16),
    _t5("google-t5/t5-3b", 2_851_598_336, 1024, 16384, 24, 32, d_kv=128),
)
FLAN_T5 = (
    _later_t5("google/flan-t5-small", 76_961_152, 512, 1024, 8, 6),
    _later_t5("google/flan-t5-base", 247_577_856, 768, 2048, 12, 12),
    _later_t5("google/flan-t5-large", 783_150_080, 1024, 2816, 24, 16),
)
MT5 = tuple(
    _later_t5(f"google/mt5-{size}", count, *sizes, kind="mt5", vocab_size=250_112)
    for size, count, sizes in (
        ("small", 300_176_768, (512, 1024, 8, 6)),
        ("base", 582_401_280, (768, 2048, 12, 12)),
        ("large", 1_229_581_312, (1024, 2816, 24, 16)),
    )
)
UMT5 = (  # 307 million on its page
    _later_t5("google/umt5-small", 306_601_984, 512, 1024, 8, 6, kind="umt5", vocab_size=256_384),
)
BYT5 = tuple(
    _later_t5(f"google/byt5-{size}", count, *sizes, vocab_size=384, num_decoder_layers=layers)
    for size, count, sizes, layers in (
        ("small", 299_637_760, (1472, 3584, 12, 6), 4),
        ("base", 581_653_248, (1536, 3968, 18, 12), 6),
    )
)
BART = tuple(
    _bart(f"facebook/bart-{size}", count, *sizes, attention_dropout=0.1, activation_dropout=0.1)
    for size, count, sizes in (
        ("base", 139_420_416, (768, 6, 12)),
        ("large", 406_291_456, (1024, 12, 16)),
    )
)
MBART50 = _bart(
    "facebook/mbart-large-50",
    *(610_879_488, 1024, 12, 16),
    kind="mbart",
    vocab_size=250_054,
    scale_embedding=True,
    decoder_start_token_id=2,
)
NO_LAYERDROP = {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}  # as `load_text_config` has it
M2M100 = KnownModel(
    "facebook/m2m100_418M", "m2m_100", 483_905_536, {"vocab_size": 128_112, **NO_LAYERDROP}
)
NLLB = KnownModel(
    "facebook/nllb-200-distilled-600M",
    "m2m_100",
    615_073_792,
    {"vocab_size": 256_206, **NO_LAYERDROP},
)
MARIAN = _bart(
    "Helsinki-NLP/opus-mt-en-de",
    *(74_410_496, 512, 6, 8),
    kind="marian",
    vocab_size=58_101,
    max_position_embeddings=512,
    pad_token_id=58_100,
    eos_token_id=0,
    decoder_start_token_id=58_100,
)
PEGASUS = _bart(  # 568 million in its paper (arXiv:1912.08777), without the fixed positions
    "google/pegasus-large",
    *(570_797_056, 1024, 16, 16),
    kind="pegasus",
    vocab_size=96_103,
    scale_embedding=True,
)
LED = _bart(
    "allenai/led-base-16384",
    *(161_844_480, 768, 6, 12),
    kind="led",
    attention_window=[1024] * 6,
)
QWEN2 = (
    _llama("Qwen/Qwen2.5-0.5B", 494_032_768, 896, 4864, 24, 14, 2, kind="qwen2"),
    _llama("Qwen/Qwen2.5-1.5B", 1_543_714_304, 1536, 8960, 28, 12, 2, kind="qwen2"),
)
QWEN3 = _llama(
    "Qwen/Qwen3-0.6B",
    *(596_049_920, 1024, 3072, 28, 16, 8),
    kind="qwen3",
    max_position_embeddings=40_960,
)
SMOLLM2 = tuple(
    _llama(f"HuggingFaceTB/SmolLM2-{size}", *sizes, vocab_size=49_152, max_position_embeddings=8192)
    for size, *sizes in (
        ("135M", 134_515_008, 576, 1536, 30, 9, 3),
        ("360M", 361_821_120, 960, 2560, 32, 15, 5),
    )
)
GPT2 = KnownModel("openai-community/gpt2", "gpt2", 124_439_808, short="gpt2")
OPT = KnownModel("facebook/opt-125m", "opt", 125_239_296)
LLAMA = _llama(
    "meta-llama/Llama-3.2-1B",
    *(1_235_814_400, 2048, 8192, 16, 32, 8),
    vocab_size=128_256,
    max_position_embeddings=131_072,
)
GEMMA3 = tuple(
    _llama(
        f"google/gemma-3-{size}",
        *sizes,
        kind="gemma3_text",
        vocab_size=262_144,
        head_dim=256,
        max_position_embeddings=32_768,
    )
    for size, *sizes in (
        ("270m", 268_098_176, 640, 2048, 18, 4, 1),
        ("1b-pt", 999_885_952, 1152, 6912, 26, 4, 1),
    )
)

APACHE = "Apache-2.0"
FLOAT = "bfloat16 or float32: float16 overflows"
LANGUAGE = "data.target_language"
ONE_ROW = "poses, data.prompt and text share one sequence"

FAMILIES = (
    Family("T5", "English; some German, French, Romanian", APACHE, FLOAT, T5),
    Family("Flan-T5", "English; less of about 60 others", APACHE, FLOAT, FLAN_T5),
    Family("mT5", "101 languages, without codes", APACHE, f"{FLOAT}; a vocabulary of 250,000", MT5),
    Family(
        "umT5", "107 languages, without codes", APACHE, f"{FLOAT}; a vocabulary of 256,000", UMT5
    ),
    Family("ByT5", "101 languages, as bytes", APACHE, f"{FLOAT}; a large data.max_length", BYT5),
    Family("BART", "English", APACHE, "at most 1,024 inputs", BART),
    Family(
        "mBART-50",
        "52 languages",
        "MIT",
        f"{LANGUAGE}; at most 1,024 inputs",
        (MBART50,),
        tuple(MBART50_CODES),
    ),
    Family("M2M100", "100 languages", "MIT", LANGUAGE, (M2M100,), tuple(M2M100_CODES["m2m100"])),
    Family(
        "NLLB-200",
        "202 languages",
        "CC-BY-NC-4.0: not for commercial use",
        LANGUAGE,
        (NLLB,),
        tuple(NLLB_CODES),
    ),
    Family(
        "Marian (OPUS-MT)",
        "one pair of languages a model",
        "Apache-2.0 or CC-BY-4.0",
        "at most 512 inputs",
        (MARIAN,),
    ),
    Family(
        "Pegasus", "English", "see the model's page", f"{FLOAT}; at most 1,024 inputs", (PEGASUS,)
    ),
    Family("LED", "English", APACHE, "up to 16,384 inputs", (LED,)),
    Family("Qwen2.5", "29 languages, English and Chinese most", APACHE, ONE_ROW, QWEN2),
    Family("Qwen3", "119 languages", APACHE, ONE_ROW, (QWEN3,)),
    Family("SmolLM2", "English", APACHE, ONE_ROW, SMOLLM2),
    Family("GPT-2", "English", "MIT", f"{ONE_ROW}, of at most 1,024", (GPT2,)),
    Family("OPT", "English", "for research only", f"{ONE_ROW}, of at most 2,048", (OPT,)),
    Family(
        "Llama 3.2",
        "8 languages, English most",
        "Llama 3.2 Community License; to be accepted on the hub",
        ONE_ROW,
        (LLAMA,),
    ),
    Family(
        "Gemma 3",
        "English; 1B: 140 languages",
        "Gemma Terms of Use; to be accepted on the hub",
        f"{FLOAT}; {ONE_ROW}",
        GEMMA3,
    ),
)


def find_known(name: str) -> tuple[KnownModel, Family] | None:
    """Look up a model by its name on the hub, or by an old, short one; None where it isn't known."""
    return next(
        (
            (model, family)
            for family in FAMILIES
            for model in family.models
            if name in (model.name, model.short)
        ),
        None,
    )


def known_config(model: KnownModel) -> PreTrainedConfig:
    """The config of a known model, as far as sizes and positions go."""
    return AutoConfig.for_model(model.architecture, **model.settings)
