"""What a decoder is to write for a text: its token ids, with whatever must stand around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from signseq.errors import ModelError
from signseq.model.languages import Languages

__all__ = ["TargetEncoder", "end_token", "padding_token"]


def end_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that ends a text; BERT's is its separator."""
    end: int | None = tokenizer.eos_token_id
    separator: int | None = tokenizer.sep_token_id
    return separator if end is None else end


def padding_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token to pad with; language models that have none get their end token, which is masked."""
    padding: int | None = tokenizer.pad_token_id
    return end_token(tokenizer) if padding is None else padding


@dataclass(frozen=True)
class TargetEncoder:
    """Turns texts into labels.

    Attributes:
        tokenizer: The text model's.
        max_length: Tokens at most, all of them counted; longer texts are cut, and still end.
        causal: For a decoder-only model: the bare text and its end.
        languages: Those of a multilingual model.
        default_language: For texts whose own language is not known.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    causal: bool = False
    languages: Languages | None = None
    default_language: str | None = None

    def __call__(self, targets: Sequence[tuple[str, str | None]]) -> list[list[int]]:
        """Encode (text, language) pairs.

        Raises:
            ModelError: If a multilingual model is not told the language, or doesn't know it.
        """
        texts = [text for text, _ in targets]
        if self.languages is not None:
            ids = [self.language_id(language) for _, language in targets]
            first = self.languages.place == "first"
            return [
                [code, *text, self._end] if first else [*text, self._end, code]
                for code, text in zip(ids, self._bare(texts, room=2), strict=True)
            ]
        if self.causal:
            return [[*text, self._end] for text in self._bare(texts, room=1)]
        encoded: list[list[int]] = self.tokenizer(
            text_target=texts, truncation=True, max_length=self.max_length
        )["input_ids"]
        return [ids if ids and ids[-1] == self._end else self._ended(ids) for ids in encoded]

    def language_id(self, language: str | None) -> int:
        """The code's token id of a text's language, or of the default one.

        Raises:
            ModelError: See `__call__`.
        """
        assert self.languages is not None
        wanted = language or self.default_language
        if wanted is None:
            known = sorted(self.languages.ids)
            raise ModelError(
                f"The {self.languages.model} model writes {len(known)} languages ({', '.join(known[:3])}, ...): set "
                "data.target_language, or give the table a column target_language."
            )
        return self.languages.ids[self.languages.code(wanted)]

    @property
    def _end(self) -> int:
        end = end_token(self.tokenizer)
        assert end is not None  # checked when the text model was loaded
        return end

    def _bare(self, texts: list[str], *, room: int) -> list[list[int]]:
        limit = max(self.max_length - room, 1)
        encoded = self.tokenizer(
            text_target=texts, truncation=True, max_length=limit, add_special_tokens=False
        )
        return encoded["input_ids"]  # type: ignore[no-any-return]

    def _ended(self, ids: list[int]) -> list[int]:
        return [*ids[: self.max_length - 1], self._end]
