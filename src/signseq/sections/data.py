"""Where data are, how poses are prepared and read, and how they are changed at random."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from signseq.sections.base import Count, FilePath, Section, Share, StorePlace

__all__ = ["AugmentConfig", "DataConfig", "PoseFilesConfig"]


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
    video_dir: FilePath | None = (
        None  # of videos, whose poses `prepare` finds first; they go to pose_dir, or beside it
    )
    pose_files: PoseFilesConfig = PoseFilesConfig()
    allow_pickle: bool = False  # read pickles: only of people you trust
    store: StorePlace
    cache_dir: FilePath | None = (
        None  # where shards of a store that lies elsewhere are kept; null: the user's cache folder
    )
    cache_gib: Annotated[float, Field(gt=0)] = 50.0  # of them, at most
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
    mix: list[dict[str, Any]] = Field(
        default_factory=list
    )  # further training corpora, by the keys of this section; see `sections.mixing`
    mix_temperature: Annotated[float, Field(ge=1)] = 1.0  # 1: by size; larger: more evenly

    @model_validator(mode="before")
    @classmethod
    def _poses_beside_videos(cls, values: Any) -> Any:
        """Where only the videos' folder is named, its poses go to one beside it, `<video_dir>_poses`."""
        if not isinstance(values, dict) or values.get("pose_dir") is not None:
            return values
        videos = values.get("video_dir")
        if not isinstance(videos, str | Path) or not Path(videos).name:
            return values
        return {**values, "pose_dir": Path(videos).with_name(f"{Path(videos).name}_poses")}

    @property
    def mixed_corpora(self) -> list[DataConfig]:
        """The corpora of `mix`, each as a data section of its own."""
        return [DataConfig.model_validate(corpus) for corpus in self.mix]

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
