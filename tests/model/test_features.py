from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from signseq.errors import ModelError
from signseq.model.encoders import build_encoder
from signseq.model.features import OFFSET_POINTS, KeypointFeatures
from signseq.model.sign_translation import SignTranslationModel
from signseq.poses.keypoints import get_keypoint_set

NAMES = get_keypoint_set("upper_body_hands").keypoints
K, C, D = len(NAMES), 2, 16
BOTH = ("motion", "hand_offsets")


def random_clip(*, frames: int = 12, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    poses = torch.randn(batch, frames, K, C + 1, generator=generator)
    poses[..., -1] = (torch.rand(batch, frames, K, generator=generator) > 0.2).float()
    return poses, torch.ones(batch, frames, dtype=torch.long)


def make_features(*channels: str) -> KeypointFeatures:
    features = KeypointFeatures(K, C, channels=channels, names=NAMES)
    generator = torch.Generator().manual_seed(1)
    features.mean.copy_(torch.randn(K, C, generator=generator))
    features.spread.copy_(torch.rand(K, C, generator=generator) + 0.5)
    return features


def place(name: str) -> int:
    return NAMES.index(name)


@pytest.mark.parametrize("channels", [(), ("motion",), ("hand_offsets",), BOTH])
def test_the_size_is_what_comes_out(channels: tuple[str, ...]) -> None:
    features = make_features(*channels)
    assert features(*random_clip()).flatten(2).shape[2] == features.size


@pytest.mark.parametrize("channels", [("motion",), ("hand_offsets",), BOTH])
def test_channels_are_added_to_what_is_there_without_them(channels: tuple[str, ...]) -> None:
    plain = make_features()(*random_clip())
    torch.testing.assert_close(
        make_features(*channels)(*random_clip())[:, :, :K, : C + 1], plain, rtol=0, atol=0
    )


def test_channels_have_no_weights_so_checkpoints_without_them_load() -> None:
    assert set(make_features(*BOTH).state_dict()) == {"mean", "spread"}
    torch.manual_seed(0)
    old = build_encoder({"type": "conv", "width": 8}, keypoints=K, dimensions=C, embedding_size=D)
    settings = {"type": "conv", "width": 8, "channels": []}
    new = build_encoder(settings, keypoints=K, dimensions=C, embedding_size=D, names=NAMES)
    new.load_state_dict(old.state_dict())
    torch.testing.assert_close(new(*random_clip())[0], old(*random_clip())[0], rtol=0, atol=0)


# ------------------------------------------------------------------------------- motion


def test_motion_is_the_difference_to_the_frame_before_in_spreads() -> None:
    features = make_features("motion")
    poses, mask = random_clip()
    poses[..., -1] = 1
    motion = features(poses, mask)[..., C + 1 :]
    expected = (poses[:, 1:, :, :C] - poses[:, :-1, :, :C]) / features.spread
    torch.testing.assert_close(motion[:, 1:], expected, rtol=0, atol=1e-5)
    assert not motion[:, 0].any()


def test_what_is_missing_in_either_frame_has_no_motion() -> None:
    poses, mask = random_clip()
    poses[..., -1] = 1
    poses[:, 5, 3, -1] = 0
    motion = make_features("motion")(poses, mask)[..., C + 1 :]
    assert not motion[:, 5:7, 3].any()
    assert motion[:, [4, 7], 3].all()


# ------------------------------------------------------------------------------- hand offsets


def test_a_hand_offset_is_the_way_from_the_body_to_the_wrist() -> None:
    features = make_features("hand_offsets")
    poses, mask = random_clip()
    poses[..., -1] = 1
    offsets = features(poses, mask)[:, :, K:]
    left, right, nose, *shoulders = (place(name) for name in OFFSET_POINTS)
    pairs = [(left, right), (left, nose), (left, shoulders[0])]
    pairs += [(right, left), (right, nose), (right, shoulders[1])]
    for number, (wrist, anchor) in enumerate(pairs):
        way = (poses[:, :, wrist, :C] - poses[:, :, anchor, :C]) / features.spread[wrist]
        torch.testing.assert_close(offsets[:, :, number, :C], way)
    assert (offsets[..., C] == 1).all()


def test_a_hand_offset_is_as_sure_as_its_less_sure_end() -> None:
    poses, mask = random_clip()
    poses[..., -1] = 1
    poses[:, :, place("POSE_LANDMARKS.NOSE"), -1] = 0.25
    poses[:, 3, place("POSE_LANDMARKS.LEFT_WRIST"), -1] = 0
    offsets = make_features("hand_offsets")(poses, mask)[:, :, K:]
    assert offsets[0, 0, :, C].tolist() == [1, 0.25, 1, 1, 0.25, 1]
    assert offsets[0, 3, :, C].tolist() == [0, 0, 0, 0, 0.25, 1]
    assert not offsets[0, 3, :4].any()


@pytest.mark.parametrize("name", ["hands", "youtube_asl"])
def test_keypoints_without_the_bodys_wrists_are_an_error(name: str) -> None:
    names = get_keypoint_set(name).keypoints
    with pytest.raises(
        ModelError,
        match=r"hand_offsets needs the keypoint POSE_LANDMARKS\.LEFT_WRIST.*upper_body_hands",
    ):
        KeypointFeatures(len(names), C, channels=["hand_offsets"], names=names)


def test_an_unknown_channel_is_an_error() -> None:
    with pytest.raises(ModelError, match="no channel 'speed'; there are: motion, hand_offsets"):
        KeypointFeatures(K, C, channels=["speed"])


# ------------------------------------------------------------------------------- both


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("junk", [7.0, float("nan"), float("inf")])
def test_padding_and_what_stands_in_it_change_nothing(kind: str, junk: float) -> None:
    torch.manual_seed(0)
    settings = {"type": kind, "channels": BOTH} | ({"width": 8} if kind == "conv" else {})
    encoder = build_encoder(settings, keypoints=K, dimensions=C, embedding_size=D, names=NAMES)
    encoder.train(False)
    poses, mask = random_clip(frames=24, batch=2)
    mask[0, 9:] = 0
    filled = poses.masked_fill(mask[:, :, None, None] == 0, junk)
    wanted, _ = encoder(poses[:1, :9], mask[:1, :9])
    found, _ = encoder(filled, mask)
    torch.testing.assert_close(found[:1, : wanted.shape[1]], wanted)
    found.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())


@pytest.mark.parametrize("coordinates", [-50.0, float("nan")])
def test_coordinates_of_missing_points_change_nothing(coordinates: float) -> None:
    features = make_features(*BOTH)
    poses, mask = random_clip()
    missing = poses[..., -1:] == 0
    moved = torch.where(missing & (torch.arange(C + 1) < C), coordinates, poses)
    torch.testing.assert_close(features(moved, mask), features(poses, mask), rtol=0, atol=0)


def test_a_checkpoint_keeps_its_channels(
    make_model: Callable[..., SignTranslationModel],
    clips: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    model = make_model(encoder={"channels": ["motion"]}).train(False)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path).train(False)
    batch = clips(12, 9)
    wanted, _ = model.pose_encoder(batch["poses"], batch["attention_mask"])
    found, _ = loaded.pose_encoder(batch["poses"], batch["attention_mask"])
    assert loaded.pose_encoder.features.has_motion
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
