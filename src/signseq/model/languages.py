"""Languages of multilingual text models: which they know, and how a decoder is told.

mBART-50, M2M100, NLLB and SeamlessM4T write the language's code before the text; mBART-25 and
PLBART start from the code and write it once more at the end.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal, cast

from langcodes import Language
from transformers import M2M100Tokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from signseq.errors import ModelError

__all__ = ["Languages", "find_languages"]

MULTILINGUAL = {"mbart", "plbart", "m2m_100", "nllb-moe", "seamless_m4t", "seamless_m4t_v2"}
# en_XX, eng_Latn, __en__, __eng__, __python__
CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}|__[a-z]{2,10}(_[A-Z][A-Za-z]{1,3})?__")


@dataclass(frozen=True)
class Languages:
    """The languages that a multilingual model writes.

    Attributes:
        ids: Token id of each language's code.
        place: `first` where the code stands before the text, `last` where the decoder starts from
            it and it ends the text.
        model: For messages.
    """

    ids: dict[str, int]
    place: Literal["first", "last"]
    model: str

    def code(self, language: str) -> str:
        """The model's own code of a language: itself, or by ISO 639-1 or 639-3 (`en`, `eng`).

        Raises:
            ModelError: If the model doesn't know the language, or knows several forms of it.
        """
        if language in self.ids:
            return language
        wanted, script = _key(language)
        keys = {code: _key(code) for code in self.ids}
        same = [code for code, (name, _) in keys.items() if name == wanted]
        if not same:  # Arabic as `ar`, where the model has Standard Arabic as `arb`
            same = [code for code, (name, _) in keys.items() if _larger(name) == _larger(wanted)]
        found = [code for code in same if script is None or keys[code][1] in (script, None)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelError(
                f"data.target_language = {language!r}: the {self.model} model knows several of it: "
                f"{', '.join(sorted(found))}. Name one of them."
            )
        near = same or difflib.get_close_matches(language, self.ids, n=3, cutoff=0.5)
        hint = f"it has {len(self.ids)} others, such as {', '.join(sorted(self.ids)[:3])}"
        if near:
            hint = f"the nearest of its {len(self.ids)} languages: {', '.join(near)}"
        raise ModelError(
            f"data.target_language = {language!r}: the {self.model} model does not know it; {hint}. "
            "`signseq models NAME --json` lists them all."
        )


def _larger(name: str) -> str:
    """The language that an ISO 639-3 code is counted to: `arb`, Standard Arabic, to Arabic."""
    try:
        return Language.get(name, normalize=False).prefer_macrolanguage().to_alpha3()
    except (LookupError, ValueError):
        return name


def _key(code: str) -> tuple[str, str | None]:
    """The language as ISO 639-3, and script or country, where it is given."""
    name, _, form = code.strip("_").replace("-", "_").partition("_")
    try:
        name = Language.get(name, normalize=False).to_alpha3()
    except (LookupError, ValueError):
        name = name.lower()
    return name, form.capitalize() if form and form != "XX" else None


def find_languages(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> Languages | None:
    """The languages of a multilingual model; None where it has no codes for them."""
    if config.model_type not in MULTILINGUAL:
        return None
    candidates = [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()]
    if isinstance(tokenizer, M2M100Tokenizer):
        candidates += tokenizer.lang_code_to_token.values()
    codes = dict.fromkeys(code for code in candidates if CODE.fullmatch(code))
    if not codes:
        return None
    found = cast("list[int]", tokenizer.convert_tokens_to_ids(list(codes)))
    ids = dict(zip(codes, found, strict=True))
    return Languages(ids, _place(config, tokenizer), config.model_type)


def _place(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> Literal["first", "last"]:
    if config.model_type == "plbart":
        return "last"
    if config.model_type != "mbart":
        return "first"
    kind = type(tokenizer).__name__  # two models, one architecture
    if kind.startswith("MBart"):
        return "first" if kind.startswith("MBart50") else "last"
    start = config.to_dict().get("decoder_start_token_id")
    return "first" if start == tokenizer.eos_token_id else "last"
