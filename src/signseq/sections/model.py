"""Which text model, which pose encoder, and how they are loaded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from signseq.sections.base import Count, FilePath, Section, Share

__all__ = [
    "OF_CONVOLUTIONS",
    "EncoderConfig",
    "LoraSettings",
    "ModelConfig",
    "SizeConfig",
    "VocabularyConfig",
]

OF_CONVOLUTIONS = ("stride", "width", "kernel", "layers")  # settings that the type linear has not


class EncoderConfig(Section):
    """The pose encoder: what turns keypoints into the text model's input embeddings."""

    type: Literal["linear", "conv", "part_gcn"] = "conv"
    stride: Literal[1, 2, 4, 8] = 2  # frames per output position; of linear always 1
    width: Count = 256  # channels: between the convolutions; that each part of part_gcn ends with
    kernel: Literal[3, 5, 7, 9] = 5  # frames each convolution sees
    layers: Annotated[int, Field(ge=0)] = 0  # further ones, which keep the length
    registers: Annotated[int, Field(ge=0)] = 0  # learned embeddings in front of the clip's own
    channels: list[Literal["motion", "hand_offsets"]] = Field(
        default_factory=list
    )  # what to compute of the poses besides their coordinates
    positions: Literal["auto", "sinusoidal", "none"] = "auto"

    @property
    def frames_per_input(self) -> int:
        """Frames that become one input of the text model."""
        return 1 if self.type == "linear" else self.stride

    def arguments(self, *, dropout: float | None) -> dict[str, Any]:
        """What `build_encoder` takes: the type, and the settings that this type has."""
        if self.type == "linear":
            return self.model_dump(exclude=set(OF_CONVOLUTIONS))
        return self.model_dump() | {"dropout": dropout or 0.0}


class SizeConfig(Section):
    """The sizes that every architecture has, whatever it calls them; only for models from scratch."""

    width: Count | None = None  # of the hidden states
    layers: Count | None = None  # in the encoder, and as many in the decoder
    heads: Count | None = None  # of the attention
    feed_forward: Count | None = None  # width between the two feed-forward layers


class VocabularyConfig(Section):
    """The tokenizer that `tokenizer: train` makes of the training texts."""

    type: Literal["words", "characters", "unigram", "bpe", "bytes"] = "words"
    size: Count = 4000  # of unigram and bpe, at most


class LoraSettings(Section):
    """Low-rank adapters: the fields of peft's LoraConfig, by their own names; others are checked by peft."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    r: Count = 16
    lora_alpha: Annotated[float, Field(gt=0)] = 32
    target_modules: list[str] | str | None = None  # null: queries and values of every attention
    lora_dropout: Share = 0.1
    bias: Literal["none", "all", "lora_only"] = "none"


class ModelConfig(Section):
    """Which text model, and how it is loaded."""

    name: str  # a hub name, a local folder or, with from_scratch, an architecture such as "bart"
    decoder_name: str | None = None  # with it, `name` gives the encoder only, and this the decoder
    tokenizer: str | None = (
        None  # null: the model's own; "train": trained on the corpus's training texts
    )
    vocabulary: VocabularyConfig | None = None  # with tokenizer: train
    dropout: Share | None = None  # null: the text model's own
    from_scratch: bool = False
    size: SizeConfig | None = None  # with from_scratch
    config: dict[str, Any] = Field(
        default_factory=dict
    )  # with from_scratch: settings by the architecture's own names
    encoder: EncoderConfig = EncoderConfig()
    init_from: FilePath | None = None  # a checkpoint whose weights the run starts from
    init_parts: Literal["all", "pose_encoder", "text_model", "decoder"] = "all"  # which of them
    freeze_encoder: bool = False
    freeze_decoder: bool = False
    use_lora: bool = False
    lora_config: LoraSettings = LoraSettings()
    load_in_4bit: bool = False  # with use_lora: QLoRA
    load_in_8bit: bool = False
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = (
        "auto"  # how the text model computes it in training; auto: transformers' choice
    )
    trust_remote_code: bool = False
