"""The sections of an experiment's config: every key, its type and its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "EncoderConfig",
    "GenerationConfig",
    "LoraSettings",
    "ModelConfig",
    "PoseFilesConfig",
    "Section",
    "SizeConfig",
    "TrainingConfig",
    "VocabularyConfig",
]

FilePath = Annotated[Path, Field(strict=False)]


def _as_place(value: Any) -> Any:
    return value if isinstance(value, str) and "://" in value else Path(value)


# A folder, or a place of fsspec's: s3://bucket/stores/isign
StorePlace = Annotated[Path | str, BeforeValidator(_as_place)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """What all sections share: no unknown keys, no silent conversion, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AugmentConfig(Section):
    """Random changes to training clips; 0 turns one off."""

    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Share = 0.0
    scale: Share = 0.0
    shift: Annotated[float, Field(ge=0)] = 0.0  # in units of the normalised poses
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.0  # handedness can carry meaning
    joint_noise: Annotated[float, Field(ge=0)] = 0.0  # standard deviation, in the same units
    outliers: Share = 0.0  # points taken for another of their part, for a frame
    speed: Share = 0.0
    speed_resampling: Literal["nearest", "linear"] = "nearest"
    drop_frames: Share = 0.0
    drop_hand: Annotated[float, Field(ge=0, le=1)] = 0.0


class PoseFilesConfig(Section):
    """How poses are stored, and what their files don't say; .pose files say everything."""

    format: Literal["pose", "pose.zst", "openpose", "npy", "h5", "wholebody_pkl"] | None = (
        None  # null: what the corpus usually has, .pose for most
    )
    per: Literal["clip", "video"] | None = (
        None  # how2sign, openasl: a file per sentence, or one per video, cut by the table's times
    )
    fps: Annotated[float, Field(gt=0)] | None = None  # or a column fps in the table
    skeleton: str | None = None  # of arrays: mediapipe_holistic, openpose, coco_wholebody, ...
    channels: Literal["xy", "xyz", "xyc", "xyzc"] | None = None  # of arrays; c is the confidence
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = (
        None  # width and height, where coordinates were divided by them
    )


class DataConfig(Section):
    """Where the data are and how they are read."""

    corpus: Literal[
        "csv",
        "tsv",
        "jsonl",
        "parquet",
        "huggingface",
        "isign",
        "how2sign",
        "phoenix",
        "csl_daily",
        "openasl",
        "youtube_asl_h5",
        "wholebody_pkl",
        "mmhugs_tsv",
        "sentences",
        "words",
    ] = "csv"
    train_path: FilePath | None = None
    val_path: FilePath | None = None
    test_path: FilePath | None = None
    other_paths: dict[str, FilePath] = Field(
        default_factory=dict
    )  # more splits to evaluate on, by name
    columns: dict[str, str] = Field(
        default_factory=dict
    )  # of tables with our columns, where theirs are called otherwise: {text: translation}
    time_unit: Literal["seconds", "milliseconds", "frames"] | None = (
        None  # of start and end; null: seconds, or the corpus's own
    )
    pose_dir: FilePath  # a folder, a .zip, or the first of a zip's parts, ..._part_aa
    pose_files: PoseFilesConfig = PoseFilesConfig()
    allow_pickle: bool = False  # read pickles: only of people you trust
    store: StorePlace
    keypoints: Literal[
        "hands",
        "upper_body_hands",
        "upper_body_hands_face",
        "youtube_asl",
        "youtube_asl_104",
        "uni_sign",
        "reduced_holistic",
        "all",
    ] = "upper_body_hands_face"
    normalize: Literal["none", "shoulders", "parts", "box"] = "parts"
    fill_gaps: Annotated[int, Field(ge=0)] = 0  # frames of the longest gap to interpolate
    dimensions: Literal[2, 3] = 2
    fps: Annotated[float, Field(gt=0)] | None = None
    step_frames: Count = 1
    max_frames: Count = 300  # after step_frames
    too_long: Literal["truncate", "skip", "error"] = "truncate"
    max_length: Count = 128  # target tokens
    target_language: str | None = None  # of the texts, for multilingual models: en, en_XX, eng_Latn
    prompt: str | None = (
        None  # what a model is told: before the frames, or before a causal model's text
    )
    max_skipped: Annotated[float, Field(ge=0, le=1)] = 0.01
    augment: AugmentConfig = AugmentConfig()

    @property
    def split_paths(self) -> dict[str, Path]:
        """The table of each split that the config names."""
        paths = {
            "train": self.train_path,
            "val": self.val_path,
            "test": self.test_path,
            **self.other_paths,
        }
        return {split: path for split, path in paths.items() if path is not None}


class EncoderConfig(Section):
    """The pose encoder: what turns keypoints into the text model's input embeddings."""

    type: Literal["linear", "conv"] = "conv"
    stride: Literal[1, 2, 4, 8] = 2  # conv: frames per output position
    width: Count = 256  # conv: channels between the convolutions
    kernel: Literal[3, 5, 7, 9] = 5  # conv: frames each convolution sees
    channels: list[Literal["motion", "hand_offsets"]] = Field(
        default_factory=list
    )  # what to compute of the poses besides their coordinates
    positions: Literal["auto", "sinusoidal", "none"] = "auto"


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
    freeze_encoder: bool = False
    freeze_decoder: bool = False
    use_lora: bool = False
    lora_config: LoraSettings = LoraSettings()
    load_in_4bit: bool = False  # with use_lora: QLoRA
    load_in_8bit: bool = False
    trust_remote_code: bool = False


class TrainingConfig(Section):
    """How the model is trained."""

    num_epochs: Annotated[float, Field(gt=0)] = 30.0
    max_steps: Count | None = None  # stops earlier than num_epochs would
    batch_size: Count | None = None  # sequences per device
    frames_per_batch: Count | None = None  # or a budget of padded frames per device
    eval_batch_size: Count = 64
    gradient_accumulation_steps: Count = 1
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Share = 0.1
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    label_smoothing: Share = 0.1
    gradient_checkpointing: bool = False  # less memory, about a third slower
    mixed_precision: bool = True  # bf16 where the device has it; full precision on a CPU
    num_workers: Annotated[int, Field(ge=0)] = 4
    checkpoint_dir: FilePath
    eval_epochs: Count = 1  # score the validation set every so many epochs
    eval_beams: Count = 1  # beams while training: greedy search is several times faster
    best_metric: Literal["bleu4", "chrf", "loss", "cer"] = "bleu4"
    early_stopping_patience: Count | None = None  # evaluations without a better score
    save_total_limit: Count = 2
    use_wandb: bool = False
    project_name: str = "sign-language-translation"
    run_name: str | None = None
    hf: dict[str, Any] = Field(default_factory=dict)  # any other field of Seq2SeqTrainingArguments


class GenerationConfig(Section):
    """How text is generated."""

    num_beams: Count = 5
    max_new_tokens: Count = 128
    length_penalty: float = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0)] = 42
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    generation: GenerationConfig = GenerationConfig()
