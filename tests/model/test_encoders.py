import pytest
import torch

from signseq.model.encoder_output import sinusoids
from signseq.model.encoders import (
    ConvEncoder,
    LinearEncoder,
    PartGcnEncoder,
    build_encoder,
    count_inputs,
    output_length,
)
from signseq.poses.keypoints import NOSE, SHOULDERS, WRISTS

K, C, D = 4, 2, 16
NAMES = (SHOULDERS[0], *WRISTS, NOSE)
ENCODERS = {
    "linear": {"type": "linear"},
    **{f"conv-{n}": {"type": "conv", "stride": n, "width": 8} for n in (1, 2, 4, 8)},
    "conv, layers": {"type": "conv", "stride": 2, "width": 8, "layers": 2},
    **{f"part_gcn-{n}": {"type": "part_gcn", "stride": n, "width": 8} for n in (1, 2, 4, 8)},
    "part_gcn, layers": {"type": "part_gcn", "stride": 2, "width": 8, "layers": 1},
    "conv, registers": {"type": "conv", "stride": 2, "width": 8, "registers": 3},
    "part_gcn, motion": {"type": "part_gcn", "stride": 2, "width": 8, "channels": ["motion"]},
}


def build(settings, **more):
    torch.manual_seed(0)
    sizes = {"keypoints": K, "dimensions": C, "embedding_size": D, "names": NAMES}
    return build_encoder(settings, **{**sizes, **more}).train(False)


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return build(ENCODERS[request.param])


def random_clip(*, frames, batch=1, seed=0):
    poses = torch.randn(batch, frames, K, C + 1, generator=torch.Generator().manual_seed(seed))
    poses[..., -1] = 1
    return poses, torch.ones(batch, frames, dtype=torch.long)


@pytest.mark.parametrize("frames", [1, 2, 3, 17, 255])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [ConvEncoder, PartGcnEncoder])
def test_mask_is_as_long_as_the_embeddings(kind, frames, stride):
    encoder = kind(K, C, embedding_size=D, stride=stride, width=8, names=NAMES)

    embeddings, mask = encoder(*random_clip(frames=frames))

    assert embeddings.shape == (1, output_length(frames, stride), D)
    assert mask.shape == embeddings.shape[:2]
    assert mask.all()


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("kind", [ConvEncoder, PartGcnEncoder])
def test_any_kernel_keeps_the_length(kind, kernel):
    encoder = kind(K, C, embedding_size=D, stride=4, width=8, kernel=kernel, names=NAMES)

    assert encoder(*random_clip(frames=17))[0].shape[1] == output_length(17, 4)


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 16, 17])
def test_a_clip_alone_equals_the_clip_in_a_padded_batch(encoder, frames):
    poses, mask = random_clip(frames=40, batch=2)
    mask[0, frames:] = 0

    alone, alone_mask = encoder(poses[:1, :frames], mask[:1, :frames])
    padded, padded_mask = encoder(poses, mask)

    assert padded_mask[0].sum() == alone_mask.sum()
    torch.testing.assert_close(padded[:1, : alone.shape[1]], alone)


@pytest.mark.parametrize("junk", [7.0, 1e30, float("nan"), float("inf")])
def test_what_stands_in_padding_changes_nothing(encoder, junk):
    poses, mask = random_clip(frames=24, batch=2)
    mask[0, 9:] = 0
    filled = poses.masked_fill(mask[:, :, None, None] == 0, junk)

    torch.testing.assert_close(encoder(filled, mask)[0], encoder(poses, mask)[0], rtol=0, atol=0)


def test_padding_is_zero_in_the_embeddings(encoder):
    poses, mask = random_clip(frames=24)
    mask[0, 9:] = 0

    embeddings, embeddings_mask = encoder(poses, mask)

    assert not embeddings[embeddings_mask == 0].any()


def test_junk_in_padding_gives_finite_gradients(encoder):
    poses, mask = random_clip(frames=8)
    mask[0, 5:] = 0

    encoder(poses.masked_fill(mask[:, :, None, None] == 0, float("nan")), mask)[0].sum().backward()

    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())


@pytest.mark.parametrize("coordinates", [-50.0, float("nan")])
def test_coordinates_of_missing_points_change_nothing(encoder, coordinates):
    poses, mask = random_clip(frames=12)
    poses[:, 3:6, 1, -1] = 0
    moved = poses.clone()
    moved[:, 3:6, 1, :-1] = coordinates

    torch.testing.assert_close(encoder(moved, mask)[0], encoder(poses, mask)[0], rtol=0, atol=0)


def test_a_missing_point_differs_from_one_at_the_mean(encoder):
    poses, mask = random_clip(frames=12)
    poses[:, :, 1, :-1] = 0
    missing = poses.clone()
    missing[:, :, 1, -1] = 0

    assert not torch.allclose(encoder(missing, mask)[0], encoder(poses, mask)[0])


def test_half_precision_poses_are_taken_as_they_are_stored(encoder):
    poses, mask = random_clip(frames=12)

    torch.testing.assert_close(
        encoder(poses.half(), mask)[0], encoder(poses.half().float(), mask)[0]
    )


@pytest.mark.parametrize("scale", [0.02, 1.0, 11.3])
def test_embeddings_start_at_the_scale_asked_for(scale):
    torch.manual_seed(0)
    encoder = LinearEncoder(K, C, embedding_size=64, scale=scale)

    size = encoder(*random_clip(frames=50))[0].detach().pow(2).mean().sqrt()

    assert float(size) == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("embedding_size", [16, 17])
def test_positions_distinguish_equal_frames(embedding_size):
    poses, mask = random_clip(frames=1)
    poses, mask = poses.repeat(1, 9, 1, 1), mask.repeat(1, 9)

    without = LinearEncoder(K, C, embedding_size=embedding_size)(poses, mask)[0][0]
    given = LinearEncoder(K, C, embedding_size=embedding_size, positions=True)(poses, mask)[0][0]

    assert torch.cdist(without, without).max() < 1e-3
    assert (torch.cdist(given, given) + torch.eye(9)).min() > 0.1


@pytest.mark.parametrize("width", [2, 3, 31, 64])
def test_sinusoids_have_the_width_asked_for_and_size_one(width):
    waves = sinusoids(100, torch.zeros(1, 100, width))

    assert waves.shape == (100, width)
    assert float(waves[:, : width // 2 * 2].pow(2).mean()) == pytest.approx(1, abs=1e-5)


def test_features_are_standardised_with_the_statistics_given():
    encoder = LinearEncoder(1, 2, embedding_size=D)
    encoder.features.mean.copy_(torch.tensor([[10.0, 20.0]]))
    encoder.features.spread.copy_(torch.tensor([[2.0, 4.0]]))

    features = encoder.features(torch.tensor([[[[14.0, 12.0, 0.5]]]]), torch.ones(1, 1))

    assert features.flatten().tolist() == [2.0, -2.0, 0.5]


@pytest.mark.parametrize("name", ENCODERS)
def test_inputs_are_counted_as_they_come(name):
    settings = ENCODERS[name]

    embeddings, _ = build(settings)(*random_clip(frames=17))

    assert embeddings.shape[1] == count_inputs(settings, 17)


# ------------------------------------------------------------------------------------ registers


@pytest.mark.parametrize("kind", ["linear", "conv", "part_gcn"])
def test_registers_stand_in_front_and_are_the_same_for_every_clip(kind):
    with_registers = build({"type": kind, "registers": 3})
    poses, mask = random_clip(frames=8, batch=2)
    mask[1, 4:] = 0

    embeddings, embeddings_mask = with_registers(poses, mask)

    assert embeddings[0, :3].equal(embeddings[1, :3])
    assert embeddings_mask[:, :3].all()
    assert not embeddings[0, 3:].equal(embeddings[1, 3:])


def test_registers_start_at_the_size_of_the_other_embeddings():
    encoder = build({"type": "linear", "registers": 64, "scale": 0.02}, embedding_size=64)

    size = encoder.output.registers.detach().pow(2).mean().sqrt()

    assert float(size) == pytest.approx(0.02, rel=0.1)


def test_registers_move_no_position():
    """The first frame has the first position, with registers or without."""
    settings = {"type": "linear", "positions": True}
    poses, mask = random_clip(frames=6)

    without = build(settings)(poses, mask)[0]
    embeddings = build(settings | {"registers": 2})(poses, mask)[0]

    torch.testing.assert_close(embeddings[:, 2:], without)


def test_registers_learn():
    encoder = build({"type": "conv", "registers": 2})
    encoder(*random_clip(frames=8))[0].pow(2).sum().backward()

    assert encoder.output.registers.grad.abs().min() > 0


# --------------------------------------------------------------------------------------- layers


def test_a_further_layer_adds_to_what_it_reads():
    """So one that says nothing changes nothing."""
    plain = build({"type": "conv", "stride": 2, "width": 8})
    deeper = build({"type": "conv", "stride": 2, "width": 8, "layers": 1})
    deeper.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(deeper.norms[1].weight)
    torch.nn.init.zeros_(deeper.norms[1].bias)
    poses, mask = random_clip(frames=12)

    torch.testing.assert_close(deeper(poses, mask)[0], plain(poses, mask)[0])
