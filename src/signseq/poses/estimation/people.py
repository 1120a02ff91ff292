"""Who is in a video, and where: faces followed from frame to frame, and the part of the picture for each.

MediaPipe Holistic sees one person. Where several are in view at once, it is given the part of the picture
around one of them; what it then finds counts only where its nose lies in that person's face.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signseq.poses.estimation.estimator import Region

__all__ = ["Person", "find_people", "without_repeats"]

# All in sizes of a face, that is sides of its box.
STEP = 1.0  # how far a face may be from where it was last seen
REACH = (
    4.0,
    2.5,
    4.0,
    7.0,
)  # of a signer's hands from the middle of the face: left, up, right, down
NOSE_NEAR = 1.2  # how far a nose may be from the middle of its face
SMALLEST = 0.3  # faces smaller than this share of the largest person's are background
SEEN = 0.1  # share of the looked-at frames that a person must be in
SAME_FACE = 0.3  # share of a box that another one covers, where both are of one face
FEWEST = 3  # looked-at frames that a person must be in, and that two must be in together


@dataclass(frozen=True, eq=False)
class Person:
    """A person who isn't alone in the picture.

    Attributes:
        region: Where to look for them.
        frames: Numbers of the frames in which the face was seen, ascending.
        faces: Middle and size of the face there: x, y, side, (N, 3) in pixels.
        slack: Frames before the first and after the last sight that still count.
    """

    region: Region
    frames: NDArray[np.intp]
    faces: NDArray[np.float32]
    slack: int

    def may_be_in(self, frame: int) -> bool:
        """Whether a frame lies between the first and the last sight, with some slack."""
        return bool(self.frames[0] - self.slack <= frame <= self.frames[-1] + self.slack)

    def has_nose(self, frame: int, nose: NDArray[np.float32]) -> bool:
        """Whether a nose in a frame, x and y in pixels of the whole picture, is this person's."""
        x, y, size = (np.interp(frame, self.frames, values) for values in self.faces.T)
        return bool(np.hypot(nose[0] - x, nose[1] - y) <= NOSE_NEAR * size)


@dataclass
class _Track:
    """The sights of one face."""

    frames: list[int] = field(default_factory=list)
    faces: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def size(self) -> float:
        return float(np.median([face[2] for face in self.faces]))

    @property
    def middle(self) -> tuple[float, float]:
        x, y, _ = np.median(self.faces, axis=0)
        return float(x), float(y)

    @property
    def weight(self) -> float:
        """How much of the video a person takes: the area of the face over time."""
        return float(sum(face[2] ** 2 for face in self.faces))


def without_repeats(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The boxes (N, 4), earlier ones first, without those that show a face again, whole or in part."""
    kept: list[NDArray[np.float32]] = []
    for box in boxes:
        if all(_overlap(box, other) < SAME_FACE for other in kept):
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 4)


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The share of the smaller box that the other one covers."""
    shared = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))
    return float(np.prod(np.maximum(shared, 0)) / max(smaller, 1e-6))


def find_people(
    looks: Iterable[tuple[int, NDArray[np.float32]]], *, size: tuple[int, int], slack: int
) -> list[Person]:
    """Tell people apart by their faces; the largest comes first.

    Args:
        looks: The numbers of some frames, ascending, and the boxes of all faces in each, (N, 4): left,
            top, right, bottom in pixels.
        size: Width and height of the picture.
        slack: Frames before the first and after the last sight of a person that still count.

    Returns:
        Nobody if no two people are in view at the same time: the whole picture is then the best view.
    """
    tracks, count = _follow(looks)
    tracks = [each for each in tracks if len(each.frames) >= max(FEWEST, np.ceil(SEEN * count))]
    largest = max((each.size for each in tracks), default=0.0)
    tracks = [each for each in tracks if each.size >= SMALLEST * largest]
    tracks.sort(key=lambda each: -each.weight)
    if not any(_are_together(tracks[0], other) for other in tracks[1:]):
        return []
    return [
        Person(
            _region(each, [o for o in tracks if o is not each and _are_together(each, o)], size),
            np.array(each.frames),
            np.array(each.faces, np.float32),
            slack,
        )
        for each in tracks
    ]


def _follow(looks: Iterable[tuple[int, NDArray[np.float32]]]) -> tuple[list[_Track], int]:
    """Join the faces that lie where a face was before; also says at how many frames was looked."""
    tracks: list[_Track] = []
    count = 0
    for frame, boxes in looks:
        count += 1
        sides = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1), axis=1))
        faces = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, sides]).astype(np.float32)
        pairs = sorted(
            (float(np.hypot(*(face[:2] - track.faces[-1][:2]))) / max(face[2], 1.0), i, j)
            for i, face in enumerate(faces)
            for j, track in enumerate(tracks)
        )
        taken_faces, taken_tracks = set[int](), set[int]()
        for distance, i, j in pairs:
            if distance <= STEP and i not in taken_faces and j not in taken_tracks:
                taken_faces.add(i)
                taken_tracks.add(j)
                tracks[j].frames.append(frame)
                tracks[j].faces.append(faces[i])
        tracks += [_Track([frame], [face]) for i, face in enumerate(faces) if i not in taken_faces]
    return tracks, count


def _are_together(one: _Track, other: _Track) -> bool:
    """Whether two are in view at the same time, not just for a moment."""
    return len(set(one.frames) & set(other.frames)) >= FEWEST


def _region(track: _Track, others: Sequence[_Track], size: tuple[int, int]) -> Region:
    """Where a person's hands may be, as far as the middle between them and who stands beside them."""
    faces = np.array(track.faces)
    side, (x, y) = track.size, track.middle
    left, top = faces[:, 0].min() - REACH[0] * side, faces[:, 1].min() - REACH[1] * side
    right, bottom = faces[:, 0].max() + REACH[2] * side, faces[:, 1].max() + REACH[3] * side
    for other in others:
        their_x, their_y = other.middle
        if abs(their_x - x) < abs(their_y - y):
            continue  # above or below: no line between two columns parts them
        # Nearer to whom is smaller, as their arms are shorter.
        border = x + (their_x - x) * side / (side + other.size)
        left, right = (max(left, border), right) if border < x else (left, min(right, border))
    width, height = size
    return Region(
        max(0, int(left)),
        max(0, int(top)),
        min(width, max(int(right), int(left) + 1)),
        min(height, max(int(bottom), int(top) + 1)),
    )
