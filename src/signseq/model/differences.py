"""What keeps a checkpoint's weights from starting another model, each difference in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signseq.model.sign_translation import SignTranslationModel

__all__ = ["CTC", "line", "of_poses", "of_shapes", "of_vocabularies"]

CTC = "pose_encoder.ctc."
# Of the pose encoder, what changes no weight's meaning; `scale` is where embeddings started.
FREE = ("dropout", "scale")


def of_poses(
    model: SignTranslationModel, origin: SignTranslationModel, *, has_other_text_model: bool
) -> Iterator[str]:
    """What is read of each frame, and the pose encoder; another text model may want positions, which are no weights."""
    free = (*FREE, "positions") if has_other_text_model else FREE
    now, was = model.config, origin.config
    for key in ("keypoints", "normalize", "dimensions"):
        if now.recipe.get(key) != was.recipe.get(key):
            yield line(f"data.{key}", was.recipe.get(key), now.recipe.get(key))
    if now.recipe.get("keypoints") == was.recipe.get("keypoints") and list(now.keypoints) != list(
        was.keypoints
    ):
        yield f"data.keypoints: {len(was.keypoints)} points there, {len(now.keypoints)} others here"
    for key in dict.fromkeys([*was.encoder, *now.encoder]):
        before, after = was.encoder.get(key), now.encoder.get(key)
        # a checkpoint older than a setting has none of it: no registers, no channels
        if (before or None) != (after or None) and key not in free:
            yield line(f"model.encoder.{key}", before, after)


def of_vocabularies(
    tokenizer: PreTrainedTokenizerBase, known: PreTrainedTokenizerBase
) -> Iterator[str]:
    """Of the checkpoint's tokenizer, `known`, and the model's: the same tokens must have the same numbers."""
    now, was = tokenizer.get_vocab(), known.get_vocab()
    if now != was:
        other = next((f", {t!r} for one" for t, i in was.items() if now.get(t) != i), "")
        yield (
            f"model.tokenizer: {len(was)} tokens there, {len(now)} here{other}; null takes the checkpoint's"
        )


def of_shapes(now: Mapping[str, Tensor], was: Mapping[str, Tensor]) -> Iterator[str]:
    """The sizes of the text model, of which the first differences say enough."""
    told = {name for name in now if not name.startswith(CTC)}
    missing, further = sorted(told - was.keys()), sorted(was.keys() - now.keys())
    if missing or further:
        yield (
            f"model.size: {len(missing)} tensors here have no counterpart there, {len(further)} there none here "
            f"({(missing or further)[0]}, ...)"
        )
    shapes = [
        (name, tuple(was[name].shape), tuple(now[name].shape))
        for name in now.keys() & was.keys()
        if was[name].shape != now[name].shape
    ]
    for name, before, after in sorted(shapes, reverse=True)[:3]:  # the text model's before others
        yield line(f"the size of {name}", before, after)


def line(what: str, was: object, now: object) -> str:
    """One difference, in words."""
    return f"{what}: {was} there, {now} here"
