"""The graph networks of the body's parts."""

import pytest
import torch

from signseq.errors import ModelError
from signseq.model.encoders import PartGcnEncoder
from signseq.model.part_gcn import GraphBlock, adjacency, part_edges
from signseq.poses.keypoints import KEYPOINT_SETS, find_parts, get_keypoint_set, mirror_name

NAMES = get_keypoint_set("upper_body_hands_face").keypoints
PARTS = find_parts(NAMES)
D = 16


def build(names=NAMES, **settings):
    torch.manual_seed(0)
    settings = {"embedding_size": D, "width": 8, "stride": 2, **settings}
    return PartGcnEncoder(len(names), 2, names=names, **settings).train(False)


def random_clip(*, frames=12, names=NAMES, seed=0):
    poses = torch.randn(1, frames, len(names), 3, generator=torch.Generator().manual_seed(seed))
    poses[..., -1] = 1
    return poses, torch.ones(1, frames, dtype=torch.long)


def joined(names):
    """Which points can be reached from the first."""
    edges = part_edges(names)
    reached = {0}
    while True:
        more = {b for a, b in edges if a in reached} | {a for a, b in edges if b in reached}
        if more <= reached:
            return reached
        reached |= more


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_the_graph_of_each_part_reaches_all_its_points(name):
    names = get_keypoint_set(name).keypoints
    parts = find_parts(names)

    for part in (parts.body, parts.face, parts.left_hand, parts.right_hand):
        assert joined([names[i] for i in part]) >= set(range(len(part)))


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_every_keypoint_set_can_be_read(name):
    names = get_keypoint_set(name).keypoints
    embeddings, mask = build(names)(*random_clip(names=names, frames=3))

    assert embeddings.shape == (1, 2, D)
    assert mask.tolist() == [[1, 1]]


def test_the_graph_is_normalised_from_both_sides():
    graph = adjacency(3, [(0, 1), (1, 2)])

    wanted = torch.tensor([[1 / 2, 6**-0.5, 0], [6**-0.5, 1 / 3, 6**-0.5], [0, 6**-0.5, 1 / 2]])
    torch.testing.assert_close(graph, wanted)
    torch.testing.assert_close(graph, graph.T)


def test_a_block_starts_with_the_skeleton_and_can_learn_other_edges():
    block = GraphBlock(4, 4, graph=adjacency(3, [(0, 1)]), kernel=3, step=1, dropout=0.0)
    hidden, mask = torch.randn(1, 5, 3, 4, requires_grad=True), torch.ones(1, 5)

    out, _ = block(hidden, mask)
    (gradient,) = torch.autograd.grad(out[:, :, 2].pow(2).sum(), hidden, retain_graph=True)
    out.pow(2).sum().backward()

    assert not gradient[:, :, :2].any()  # no bone leads from those to the last point
    assert gradient[:, :, 2].any()
    assert block.learned.grad[2, 0] != 0


def test_a_part_sees_nothing_of_the_others():
    encoder = build()
    poses, mask = random_clip()
    moved = poses.clone()
    moved[:, :, list(PARTS.face), :2] += 1

    features = encoder.features
    before, _ = encoder.parts(features(poses, mask), mask)
    after, _ = encoder.parts(features(moved, mask), mask)

    same = (before == after).all(dim=(0, 1)).unflatten(0, (4, 8)).all(1)
    assert same.tolist() == [True, True, True, False]  # body, right hand, left hand, face


def test_hands_share_one_network():
    assert set(build().parts.graphs) == {"body", "hand", "face"}


def test_a_left_hand_is_seen_as_the_right_hand_in_a_mirror():
    encoder = build(channels=["motion"])
    poses, mask = random_clip()
    mirrored = poses.clone()
    for i in PARTS.right_hand:
        left = NAMES.index(mirror_name(NAMES[i]))
        mirrored[:, :, left] = poses[:, :, i] * torch.tensor([-1.0, 1, 1])

    found, _ = encoder.parts(encoder.features(mirrored, mask), mask)
    _, right, left, _ = found.chunk(4, dim=-1)

    torch.testing.assert_close(left, right)


def test_the_order_of_the_keypoints_makes_no_difference():
    names = get_keypoint_set("hands").keypoints
    order = torch.randperm(42, generator=torch.Generator().manual_seed(0)).tolist()
    straight, shuffled = build(names), build(tuple(names[i] for i in order))
    hands = [each.parts.points["right_hand"] for each in (straight, shuffled)]
    to_place = [hands[0].index(order[place]) for place in hands[1]]
    own, theirs = (each.parts.graphs["hand"].embed for each in (shuffled, straight))
    own.data.copy_(theirs[to_place])
    poses, mask = random_clip(names=names)

    torch.testing.assert_close(shuffled(poses[:, :, order], mask)[0], straight(poses, mask)[0])


def test_fingers_are_told_apart():
    """The mean over the points of a hand depends on which of them does what."""
    encoder = build(get_keypoint_set("hands").keypoints)
    poses, mask = random_clip(names=get_keypoint_set("hands").keypoints)
    swapped = poses.clone()
    index, ring = slice(5, 9), slice(13, 17)
    swapped[:, :, index], swapped[:, :, ring] = poses[:, :, ring], poses[:, :, index]

    assert not torch.allclose(encoder(swapped, mask)[0], encoder(poses, mask)[0], atol=1e-3)


def test_missing_points_are_left_out_of_the_mean():
    """A hand of which only one finger is seen isn't drawn towards zero by the others."""
    encoder = build(get_keypoint_set("hands").keypoints, stride=1)
    features = torch.ones(1, 4, 42, 3)
    graph = encoder.parts.graphs["hand"]
    graph.embed.data.copy_(graph.embed.data[:1].expand_as(graph.embed))
    for block in graph.blocks:
        block.forward = lambda hidden, mask: (hidden, mask)
    seen = torch.zeros(1, 4, 21)
    seen[:, :, 3] = 1

    some, _ = graph(features[:, :, :21], seen, torch.ones(1, 4))
    whole, _ = graph(features[:, :, :21], torch.ones(1, 4, 21), torch.ones(1, 4))

    torch.testing.assert_close(some, whole)


def test_a_part_that_is_never_seen_says_nothing_but_that():
    encoder = build()
    poses, mask = random_clip()
    poses[:, :, list(PARTS.left_hand), -1] = 0

    found, _ = encoder.parts(encoder.features(poses, mask), mask)

    assert not found.chunk(4, dim=-1)[2].any()
    assert encoder(poses, mask)[0].isfinite().all()


def test_a_point_counts_where_any_of_the_frames_that_became_one_saw_it():
    encoder = build(stride=4)
    poses, mask = random_clip(frames=4)
    poses[:, :3, list(PARTS.left_hand), -1] = 0

    found, _ = encoder.parts(encoder.features(poses, mask), mask)

    assert found.chunk(4, dim=-1)[2].any()


def test_what_hand_offsets_adds_hangs_on_the_wrists_of_the_body():
    encoder = build(channels=["hand_offsets"])
    body = encoder.parts.points["body"]
    graph = encoder.parts.graphs["body"].blocks[0].graph
    neighbours = [
        {NAMES[body[i]] for i in graph[row].nonzero().flatten() if i < len(PARTS.body)}
        for row in range(len(PARTS.body), len(body))
    ]

    assert neighbours == [
        *([{"POSE_LANDMARKS.LEFT_WRIST"}] * 3),
        *([{"POSE_LANDMARKS.RIGHT_WRIST"}] * 3),
    ]


def test_keypoints_of_no_part_are_refused():
    with pytest.raises(ModelError, match=r"part_gcn needs keypoints of body.*'a'.*Take conv"):
        build(("a", "b"))


def test_hands_with_other_points_are_refused():
    names = ("LEFT_HAND_LANDMARKS.WRIST", "RIGHT_HAND_LANDMARKS.THUMB_TIP")

    with pytest.raises(ModelError, match="one network for both hands"):
        build(names)


def test_one_hand_alone_can_be_read():
    names = tuple(name for name in NAMES if name.startswith("LEFT_HAND"))

    assert build(names)(*random_clip(names=names))[0].isfinite().all()
