"""Which parameters train."""

from __future__ import annotations

from signseq.model.sign_translation import SignTranslationModel

__all__ = ["freeze"]


def freeze(model: SignTranslationModel, *, encoder: bool = False, decoder: bool = False) -> None:
    """Keep the text model's encoder or decoder as it is; the pose encoder always trains.

    Token embeddings are shared by both sides in most models; they belong to the decoder here, as
    pose embeddings take their place in the encoder.

    Args:
        model: Changed in place.
        encoder: Freeze the text model's encoder.
        decoder: Freeze everything else of the text model.
    """
    embeddings = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    inside = {
        id(parameter) for parameter in model.text_model.get_encoder().parameters()
    } - embeddings
    for parameter in model.text_model.parameters():
        if encoder if id(parameter) in inside else decoder:
            parameter.requires_grad_(False)
