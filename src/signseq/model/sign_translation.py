"""SignTranslationModel: a pose encoder in front of any Hugging Face text model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, PreTrainedModel
from transformers.modeling_outputs import Seq2SeqLMOutput

from signseq.errors import CheckpointError, ModelError
from signseq.model.architectures import is_causal
from signseq.model.checkpoint import check_folder
from signseq.model.ctc import CtcHead, CtcLoss, CtcMeter
from signseq.model.encoders import build_encoder
from signseq.model.feeding import (
    NO_LABEL,
    add_prompts,
    align_right,
    auxiliary_loss,
    check_output,
    check_room,
    predict,
    predict_causal,
    run_encoder,
)
from signseq.model.quiet import no_progress_bars
from signseq.model.sign_config import SignTranslationConfig
from signseq.model.sizes import rebuild
from signseq.model.text_models import embedding_shape, text_model_from_config

__all__ = ["SignTranslationConfig", "SignTranslationModel"]


class SignTranslationModel(PreTrainedModel):
    """Pose sequences in, token probabilities out.

    Owns `pose_encoder` and `text_model` and nothing else. An encoder-decoder's own encoder runs on
    the pose encoder's embeddings; a causal language model reads them in front of the text. Nothing
    in the text model is changed.
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
            text_model = text_model_from_config(rebuild(config.text_model))
            text_model.generation_config = GenerationConfig(**(config.generation or {}))
        self.text_model = text_model
        self.pose_encoder = build_encoder(
            config.encoder,
            keypoints=len(config.keypoints),
            names=config.keypoints,
            dimensions=config.recipe["dimensions"],
            embedding_size=embedding_shape(text_model)[1],
            ctc=config.ctc,
        ).to(text_model.device)  # quantized weights are on the GPU as soon as they are read
        self.ctc_meter = CtcMeter()
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: Any) -> None:
        """Leave weights as their makers set them: torch's layers, and the text model's own rules."""

    def get_input_embeddings(self) -> Any:
        """The text model's token embeddings."""
        return self.text_model.get_input_embeddings()

    @property
    def is_causal(self) -> bool:
        """Whether the text model is decoder-only, so that poses and text stand in one sequence."""
        return is_causal(self.text_model.config)

    def embed(self, poses: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the text model reads: the frames, and the prompt before or after them.

        Args:
            poses: (B, T, K, C + 1), the last channel being the confidence.
            attention_mask: (B, T), 1 for frames, 0 for padding.

        Returns:
            Embeddings (B, T', D) and their mask (B, T'); padded on the left for a causal model.

        Raises:
            ModelError: If the clip is longer than the text model's positions reach.
        """
        embeddings, mask = self.pose_encoder(poses, attention_mask)
        return self._prompted(embeddings, mask, frames=poses.shape[1])

    def _prompted(
        self, embeddings: Tensor, mask: Tensor, *, frames: int, prompts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        before, after = list(self.config.tokens_before), list(self.config.tokens_after)
        told = len(before) + len(after)
        if prompts is not None:  # in place of the one that all clips have
            before, after = (before, []) if self.is_causal else ([], after)
            told = len(before) + len(after) + prompts.shape[1]
            embed, last = self.get_input_embeddings(), self.is_causal
            embeddings, mask = add_prompts(prompts, embeddings, mask, embed=embed, after=last)
        inputs = embeddings.shape[1] + len(before) + len(after)
        check_room(self.text_model, inputs=inputs, frames=frames, told=told)
        if before:
            embeddings = torch.cat([self._token_embeddings(before, embeddings), embeddings], 1)
            mask = F.pad(mask, (len(before), 0), value=1)
        if self.is_causal:
            embeddings, mask = align_right(embeddings, mask)
        if after:
            embeddings = torch.cat([embeddings, self._token_embeddings(after, embeddings)], 1)
            mask = F.pad(mask, (0, len(after)), value=1)
        return embeddings, mask

    def _token_embeddings(self, tokens: list[int], like: Tensor) -> Tensor:
        """Of the same tokens for each row, (B, L, D)."""
        ids = torch.tensor(tokens, device=like.device).expand(len(like), -1)
        embedded: Tensor = self.get_input_embeddings()(ids).to(like.dtype)
        return embedded

    def forward(
        self,
        poses: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        prompts: Tensor | None = None,
    ) -> Seq2SeqLMOutput:
        """Compute logits, and the loss where there are labels.

        Args:
            poses: (B, T, K, C + 1).
            attention_mask: (B, T).
            labels: (B, L), -100 where padded.
            decoder_input_ids: (B, L), the start token first; made of the labels where not given. A
                causal model has no start token: the first column stands for the end of its prompt.
            num_items_in_batch: Labels in the whole optimizer step, over all its batches and processes.
                The loss is the sum over labels divided by it, so that accumulating batches equals one
                large batch; where not given, by this batch's own labels.
            prompts: (B, P), -100 where padded: each clip's own, in place of the one that all clips have.

        Returns:
            `loss` and `logits` (B, L, V).
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "forward needs labels or decoder_input_ids; to translate, call generate."
                )
            decoder_input_ids = self.shift_right(labels)
        embedded, frame_mask = self.pose_encoder(poses, attention_mask)
        embeddings, mask = self._prompted(
            embedded, frame_mask, frames=poses.shape[1], prompts=prompts
        )
        if self.is_causal:
            output = predict_causal(self.text_model, embeddings, mask, decoder_input_ids[:, 1:])
        else:
            encoded = run_encoder(self.text_model, embeddings, mask)
            output = predict(
                self.text_model, encoded, mask, decoder_input_ids, labels if self.training else None
            )
        loss = None
        if labels is not None:
            loss = self._loss(output, labels, num_items_in_batch)
            if self.training and self.config.ctc is not None:
                loss = loss + self._ctc_loss(embedded, frame_mask, labels, num_items_in_batch)
        return Seq2SeqLMOutput(loss=loss, logits=output.logits)

    def _loss(self, output: Any, labels: Tensor, items: Tensor | int | None) -> Tensor:
        """Cross-entropy, and in training what the text model's own loss has besides."""
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss = F.cross_entropy(
            output.logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=NO_LABEL,
            reduction="sum",
            label_smoothing=smoothing,
        )
        count = labels.ne(NO_LABEL).sum().clamp(min=1)
        if self.training:
            further = auxiliary_loss(self.text_model, output, labels, smoothing=smoothing)
            loss = loss if further is None else loss + further * count
        return loss / (count if items is None else items)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # its sizes depend on the texts
    def _ctc_loss(
        self, embedded: Tensor, mask: Tensor, labels: Tensor, items: Tensor | int | None
    ) -> Tensor:
        """The auxiliary loss with its weight, divided like the other; registers are no frames."""
        first, head = self.config.encoder.get("registers", 0), cast(CtcHead, self.pose_encoder.ctc)
        found: CtcLoss = head(embedded[:, first:], mask[:, first:], labels)
        self.ctc_meter.add(found)
        weighted: Tensor = self.config.ctc["weight"] * found.total
        return weighted / (labels.ne(NO_LABEL).sum().clamp(min=1) if items is None else items)

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder is fed to predict `labels` (B, L): the start token, then all but the last."""
        prepare = getattr(self.text_model, "prepare_decoder_input_ids_from_labels", None)
        if prepare is not None and not self.is_causal:
            prepared: Tensor = prepare(labels=labels.clone())  # fsmt's overwrites what it is given
            return prepared
        shifted = labels.roll(1, dims=1)
        start = self.text_model.generation_config.decoder_start_token_id
        shifted[:, 0] = self.config.pad_token_id if start is None else start
        return shifted.masked_fill(shifted == NO_LABEL, self.config.pad_token_id)

    @torch.no_grad()
    def generate(
        self,
        poses: Tensor,
        attention_mask: Tensor,
        *,
        languages: Tensor | None = None,
        prompts: Tensor | None = None,
        **settings: Any,
    ) -> Any:
        """Generate token ids for a batch of clips.

        Args:
            poses: (B, T, K, C + 1).
            attention_mask: (B, T).
            languages: (B,), the token id of each clip's language, for a multilingual text model; None
                takes the one that it was trained with.
            prompts: See `forward`.
            **settings: What transformers' `generate` takes: `num_beams`, `max_new_tokens`, ...

        Returns:
            What transformers' `generate` returns: ids (B, L), or an object with scores if asked for.
        """
        found, mask = self.pose_encoder(poses, attention_mask)
        embeddings, mask = self._prompted(found, mask, frames=poses.shape[1], prompts=prompts)
        text_model: Any = self.text_model
        wanted = settings.get("max_new_tokens") or 0
        check_output(text_model, tokens=wanted, prefix=embeddings.shape[1])
        if self.is_causal:
            return text_model.generate(inputs_embeds=embeddings, attention_mask=mask, **settings)
        if self.config.language_place is not None:
            settings |= self._language_settings(languages, len(poses))
        encoded = run_encoder(text_model, embeddings, mask)
        return text_model.generate(encoder_outputs=encoded, attention_mask=mask, **settings)

    def _language_settings(self, languages: Tensor | None, count: int) -> dict[str, Any]:
        """What the decoder begins with: the start token and the language, or the language alone."""
        if languages is None:
            if self.config.language_id is None:
                raise ModelError(
                    "This model writes several languages, and was trained without data.target_language: name one."
                )
            languages = torch.full((count,), self.config.language_id)
        codes = languages.to(self.device)
        if self.config.language_place == "last":
            return {"decoder_start_token_id": codes.tolist()}
        start = self.text_model.generation_config.decoder_start_token_id
        return {"decoder_input_ids": torch.stack([torch.full_like(codes, start), codes], dim=1)}

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
