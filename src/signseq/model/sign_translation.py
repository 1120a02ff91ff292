"""SignTranslationModel: a pose encoder in front of any Hugging Face encoder-decoder text model."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput

from signseq.errors import CheckpointError, ModelError
from signseq.model.checkpoint import MODEL_TYPE, check_folder
from signseq.model.encoders import build_encoder
from signseq.model.progress_bars import no_progress_bars
from signseq.model.text_models import embedding_shape, position_limit, text_model_from_config

__all__ = ["SignTranslationConfig", "SignTranslationModel"]

NO_LABEL = -100


class SignTranslationConfig(PreTrainedConfig):
    """What a checkpoint is made of: text model, pose encoder, and how poses are made ready.

    The text model's config is kept as plain values: a nested config object would be changed in
    place by transformers (it loses its attention implementation, and with it the causal mask).

    Attributes:
        text_model: The text model's config.
        generation: Its generation settings: special tokens, forced tokens.
        encoder: The pose encoder's settings; see `build_encoder`.
        recipe: PoseRecipe's fields.
        keypoints: The K names that the recipe gives.
        step_frames: Every so-manieth frame is read.
        max_frames: Longer clips are cut.
        label_smoothing: Share of the target's probability spread over the other tokens, in training.
    """

    model_type = MODEL_TYPE

    text_model: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    encoder: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None
    keypoints: list[str] | tuple[str, ...] | None = None
    step_frames: int = 1
    max_frames: int = 300
    label_smoothing: float = 0.0
    is_encoder_decoder: bool = True
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None


class SignTranslationModel(PreTrainedModel):
    """Pose sequences in, token probabilities out.

    Owns `pose_encoder` and `text_model` and nothing else. The text model's own encoder runs on the
    pose encoder's embeddings; nothing in it is changed.
    """

    config_class = SignTranslationConfig
    base_model_prefix = "signseq"
    main_input_name = "poses"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True  # or the Trainer passes no num_items_in_batch, and averages averages
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(
        self, config: SignTranslationConfig, *, text_model: PreTrainedModel | None = None
    ) -> None:
        super().__init__(config)
        if not (config.text_model and config.encoder and config.recipe and config.keypoints):
            raise CheckpointError(
                "config.json lacks text_model, encoder, recipe or keypoints: not a signseq model."
            )
        if text_model is None:
            text_config = AutoConfig.for_model(**deepcopy(config.text_model))
            text_model = text_model_from_config(text_config)
            text_model.generation_config = GenerationConfig(**(config.generation or {}))
        self.text_model = text_model
        self.pose_encoder = build_encoder(
            config.encoder,
            keypoints=len(config.keypoints),
            dimensions=config.recipe["dimensions"],
            embedding_size=embedding_shape(text_model)[1],
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: Any) -> None:
        """Leave weights as their makers set them: torch's layers, and the text model's own rules."""

    def get_input_embeddings(self) -> Any:
        """The text model's token embeddings."""
        return self.text_model.get_input_embeddings()

    def encode(self, poses: Tensor, attention_mask: Tensor) -> tuple[Any, Tensor]:
        """Run the pose encoder and the text model's encoder.

        Args:
            poses: (B, T, K, C + 1), the last channel being the confidence.
            attention_mask: (B, T), 1 for frames, 0 for padding.

        Returns:
            The text encoder's own output object, and its mask (B, T').

        Raises:
            ModelError: If the clip is longer than the text model's positions reach.
        """
        embeddings, mask = self.pose_encoder(poses, attention_mask)
        limit = position_limit(self.text_model.config)
        if limit is not None and embeddings.shape[1] > limit:
            raise ModelError(
                f"A clip of {poses.shape[1]} frames gives {embeddings.shape[1]} inputs; this "
                f"{self.text_model.config.model_type} model takes at most {limit}. "
                "Raise model.encoder.stride or data.step_frames, or lower data.max_frames."
            )
        encoder = self.text_model.get_encoder()
        output = encoder(
            input_ids=None, inputs_embeds=embeddings, attention_mask=mask, return_dict=True
        )
        return output, mask

    def forward(
        self,
        poses: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Seq2SeqLMOutput:
        """Compute logits, and the loss where there are labels.

        Args:
            poses: (B, T, K, C + 1).
            attention_mask: (B, T).
            labels: (B, L), -100 where padded.
            decoder_input_ids: (B, L); made of the labels where not given.
            num_items_in_batch: Labels in the whole optimizer step, over all its batches and processes.
                The loss is the sum over labels divided by it, so that accumulating batches equals one
                large batch; where not given, by this batch's own labels.

        Returns:
            `loss` and `logits` (B, L, V).
        """
        encoded, mask = self.encode(poses, attention_mask)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "forward needs labels or decoder_input_ids; to translate, call generate."
                )
            decoder_input_ids = self.shift_right(labels)
        output = self.text_model(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=decoder_input_ids,
            use_cache=False,
        )
        loss = None
        if labels is not None:
            smoothing = self.config.label_smoothing if self.training else 0.0
            logits = output.logits.flatten(0, 1).float()
            total = F.cross_entropy(
                logits,
                labels.flatten(),
                ignore_index=NO_LABEL,
                reduction="sum",
                label_smoothing=smoothing,
            )
            loss = total / (
                num_items_in_batch
                if num_items_in_batch is not None
                else labels.ne(NO_LABEL).sum().clamp(min=1)
            )
        return Seq2SeqLMOutput(loss=loss, logits=output.logits)

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder is fed to predict `labels` (B, L): the start token, then all but the last."""
        prepare = getattr(self.text_model, "prepare_decoder_input_ids_from_labels", None)
        if prepare is not None:
            prepared: Tensor = prepare(labels=labels.clone())  # fsmt's overwrites what it is given
            return prepared
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = self.text_model.generation_config.decoder_start_token_id
        return shifted.masked_fill(shifted == NO_LABEL, self.config.pad_token_id)

    @torch.no_grad()
    def generate(self, poses: Tensor, attention_mask: Tensor, **settings: Any) -> Any:
        """Generate token ids for a batch of clips.

        Args:
            poses: (B, T, K, C + 1).
            attention_mask: (B, T).
            **settings: What transformers' `generate` takes: `num_beams`, `max_new_tokens`, ...

        Returns:
            What transformers' `generate` returns: ids (B, L), or an object with scores if asked for.
        """
        encoded, mask = self.encode(poses, attention_mask)
        text_model: Any = self.text_model
        return text_model.generate(encoder_outputs=encoded, attention_mask=mask, **settings)

    @classmethod
    @no_progress_bars()
    def from_pretrained(  # type: ignore[override]
        cls, folder: Any, *args: Any, **kwargs: Any
    ) -> SignTranslationModel:
        """Load a checkpoint folder; safetensors only.

        Raises:
            CheckpointError: If the folder isn't there, is incomplete or is no signseq checkpoint.
        """
        check_folder(Path(folder))
        kwargs.setdefault("use_safetensors", True)
        try:
            loaded: Any = super().from_pretrained(
                str(folder), *args, **kwargs, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as fault:
            raise CheckpointError(f"{folder}: the checkpoint can't be loaded ({fault}).") from fault
        except Exception as fault:
            if type(fault).__name__ != "SafetensorError":
                raise
            raise CheckpointError(
                f"{folder}: the weights are damaged ({fault}); half-written, perhaps."
            ) from fault
        model, facts = loaded
        if missing := sorted(facts["missing_keys"]):
            raise CheckpointError(
                f"{folder}: the weights lack {len(missing)} tensors, {missing[0]!r} among them; half-written, perhaps."
            )
        return cast(SignTranslationModel, model)
