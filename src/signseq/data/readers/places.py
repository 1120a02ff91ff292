"""Where a corpus's poses are and how they are stored: what `data.pose_dir` and its kin come down to."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from signseq.config import DataConfig
from signseq.data.readers.example import Example
from signseq.errors import ConfigError, DataError
from signseq.poses.estimation.video import SUFFIXES as VIDEO_SUFFIXES
from signseq.poses.skeletons import SKELETONS
from signseq.poses.sources.opening import SUFFIXES
from signseq.poses.sources.source import DOT_POSE, FormatName, PoseFormat, TimeUnit
from signseq.poses.sources.zipped import is_archive

__all__ = ["PosePlace", "build_place", "is_split"]

# What corpora call their splits.
SPLIT_NAMES = {
    name: ours
    for ours, names in {
        "train": ("train", "training"),
        "val": ("val", "valid", "validation", "dev", "development"),
        "test": ("test", "testing"),
    }.items()
    for name in names
}


@dataclass(frozen=True)
class PosePlace:
    """A folder or zip of poses.

    Attributes:
        folder: The folder, the zip, or the first part of a split one.
        pose_format: How the poses are stored.
        is_of_videos: Whether the poses are found in videos, so that a file named here may be the video.
    """

    folder: Path
    pose_format: PoseFormat = DOT_POSE
    is_of_videos: bool = False

    @cached_property
    def is_archive(self) -> bool:
        """Whether it is a zip."""
        return is_archive(self.folder)

    @cached_property
    def suffix(self) -> str:
        """What a clip's name is followed by."""
        return SUFFIXES.get(self.pose_format.name, "")

    def example(
        self,
        uid: str,
        *,
        file: str,
        text: str,
        split: str,
        start: float = 0.0,
        end: float | None = None,
        time_unit: TimeUnit = "seconds",
        fps: float | None = None,
        signer: str | None = None,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> Example:
        """An example whose poses are here.

        Args:
            uid: Its id.
            file: The file's path in the folder, or in the zip.
            text: The sentence as the corpus has it.
            split: The split.
            start: Where the clip starts in the file.
            end: Where it ends; None means with the file.
            time_unit: What these are.
            fps: The frame rate that the table gives, for formats that don't say it.
            signer: Who signs.
            source_language: The signed language.
            target_language: The language of the text.

        Raises:
            DataError: If nobody says the frame rate.
        """
        pose_format = self.pose_format
        if self.is_of_videos and file.lower().endswith(VIDEO_SUFFIXES):
            file = f"{file.rpartition('.')[0]}.pose"
        if not pose_format.is_dot_pose:
            if fps is not None:
                pose_format = _at_rate(pose_format, fps)
            elif pose_format.fps is None:
                raise DataError(
                    f"How many frames per second have the poses of {uid!r}? A {pose_format.name} file doesn't say it. "
                    "Set data.pose_files.fps, or give the table a column fps."
                )
        return Example(
            id=uid,
            pose_path=self._prefix if self.is_archive else self._join(file),
            start=start,
            end=end,
            text=" ".join(unicodedata.normalize("NFC", text).split()),
            split=split,
            signer=signer,
            source_language=source_language,
            target_language=target_language,
            pose_member=file if self.is_archive else None,
            pose_format=pose_format,
            time_unit=time_unit,
        )

    @cached_property
    def _prefix(self) -> str:
        return str(self.folder)

    def _join(self, file: str) -> str:
        """As Path joins, which takes longer than all else that is done with a row."""
        if "/" in file or file == "." or self._prefix == ".":
            return str(self.folder / file)
        return f"{self._prefix}/{file}"


@lru_cache(maxsize=1024)  # so that examples share what they have in common
def _at_rate(pose_format: PoseFormat, fps: float) -> PoseFormat:
    return replace(pose_format, fps=fps)


def is_split(name: str, wanted: str) -> bool:
    """Whether a corpus's name of a split means this one: `dev` is `val`."""
    name = name.strip().lower()
    return SPLIT_NAMES.get(name, name) == SPLIT_NAMES.get(wanted, wanted)


def build_place(
    data: DataConfig, *, default: FormatName = "pose", finds_parts: bool = False
) -> PosePlace:
    """The place of the poses that a config describes.

    Args:
        data: The config's section.
        default: The format where the config names none.
        finds_parts: Whether to look for `*part_aa` in the folder: poses in a zip that is split.

    Raises:
        ConfigError: If the settings don't fit the format.
    """
    files = data.pose_files
    pose_format = PoseFormat(
        name=files.format or ("pose" if data.video_dir else default),
        skeleton=files.skeleton,
        channels=files.channels,
        fps=files.fps,
        size=(files.size[0], files.size[1]) if files.size else None,
        allow_pickle=data.allow_pickle,
    )
    problems = list(_misfits(data, pose_format))
    if problems:
        raise ConfigError("\n".join(problems))
    folder = data.pose_dir
    if finds_parts and not is_archive(folder):
        folder = next((path for path in sorted(folder.glob("*part_aa"))), folder)
    return PosePlace(folder, pose_format, is_of_videos=data.video_dir is not None)


def _misfits(data: DataConfig, pose_format: PoseFormat) -> Iterator[str]:
    kind, place = pose_format.name, f"the poses are read as {pose_format.name!r}"
    takes = {
        "pose": (),
        "pose.zst": (),
        "openpose": ("fps", "size"),
        "wholebody_pkl": ("fps", "size"),
        "npy": ("skeleton", "channels", "fps", "size"),
        "h5": ("skeleton", "channels", "fps", "size"),
    }[kind]
    for name in ("skeleton", "channels", "fps", "size"):
        if getattr(pose_format, name) is not None and name not in takes:
            yield (
                f"data.pose_files.{name} is given, but {place}, which says that itself. Drop it, or set "
                "data.pose_files.format."
            )
    if kind == "npy" and pose_format.skeleton is None:
        yield (
            "data.pose_files.skeleton: missing; an array doesn't say which points it holds. There are: "
            f"{', '.join(SKELETONS)}."
        )
    if pose_format.skeleton is not None and pose_format.skeleton not in SKELETONS:
        yield (
            f"data.pose_files.skeleton = {pose_format.skeleton!r}: there are: {', '.join(SKELETONS)}."
        )
    if kind == "wholebody_pkl" and not pose_format.allow_pickle:
        yield (
            f"data.allow_pickle is not true, but {place}: a pickle can run code when it is read. If you trust who "
            "made these files, set data.allow_pickle: true; even then only numbers, texts and containers are read."
        )
    if kind == "openpose" and is_archive(data.pose_dir):
        yield f"data.pose_dir = {data.pose_dir}: OpenPose's folders are read unpacked only."
    if data.video_dir is not None and (kind != "pose" or is_archive(data.pose_dir)):
        yield (
            f"data.video_dir is given, so that .pose files are written into the folder data.pose_dir, but "
            f"{'that is an archive' if is_archive(data.pose_dir) else place}. Drop one of the two."
        )
    if data.video_dir is not None and data.corpus in ("youtube_asl_h5", "wholebody_pkl"):
        yield f"data.video_dir is given, but data.corpus: {data.corpus} comes as keypoints. Drop it."
    if kind == "h5" and data.corpus != "youtube_asl_h5":
        yield "data.pose_files.format: h5 is read for data.corpus: youtube_asl_h5 only."
