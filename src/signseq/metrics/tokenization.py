"""Which of sacreBLEU's tokenizers fits a language, and texts as words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain

from sacrebleu.metrics.bleu import BLEU

from signseq.errors import ConfigError, MissingExtraError, ModelError
from signseq.metrics.naming import nearest

__all__ = [
    "TOKENIZERS",
    "Tokenizer",
    "choose_tokenizer",
    "load_tokenizer",
    "main_script",
    "splitter",
    "texts_as_words",
    "words_of",
]

TOKENIZERS = tuple(BLEU.TOKENIZERS)
DOWNLOADED = ("spm", "flores101", "flores200", "spBLEU-1K")
EXTRAS = {"ja-mecab": ("ja", "MeCab"), "ko-mecab": ("ko", "mecab_ko")}
# By ISO 639-1 and 639-3. sacreBLEU has its own tokenizer for the first three; the others are written
# without spaces, so that its default would take a sentence for a word.
OF_LANGUAGES = {
    **dict.fromkeys(("zh", "zho", "cmn", "yue"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
    **dict.fromkeys(("th", "tha", "lo", "lao", "km", "khm", "my", "mya"), "char"),
}
# How Unicode's names of letters begin
OF_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja-mecab",
    "KATAKANA": "ja-mecab",
    "HANGUL": "ko-mecab",
    **dict.fromkeys(("THAI", "LAO", "KHMER", "MYANMAR"), "char"),
}
DEFAULT = "13a"
SAMPLE = 1000  # texts that tell the script

Tokenizer = Callable[[str], list[str]]


def choose_tokenizer(name: str, references: Sequence[str], *, language: str | None = None) -> str:
    """The tokenizer that `auto` stands for: by the language; without one, by the script.

    Args:
        name: `auto`, or a tokenizer, which is then the answer.
        references: What tells the script.
        language: A code such as `en`, `zh_CN`, `jpn_Jpan`; None where it isn't known.

    Raises:
        ConfigError: If there is no such tokenizer.
    """
    if name != "auto":
        if name not in TOKENIZERS:
            raise ConfigError(
                f"tokenize = {name!r}: unknown tokenizer; {nearest(name, ('auto', *TOKENIZERS))}"
            )
        return name
    if language is not None:
        return OF_LANGUAGES.get(language.lower().replace("-", "_").split("_")[0], DEFAULT)
    return OF_SCRIPTS.get(main_script(references), DEFAULT)


def main_script(texts: Sequence[str]) -> str:
    """The script of most letters; Japanese where there is much kana, as kanji are Chinese characters."""
    letters = Counter(letter for text in texts[:SAMPLE] for letter in text if letter.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "?").split()[0].split("-")[0]] += count
    if not scripts:
        return ""
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana > 0.1 * (kana + scripts["CJK"]):
        scripts["HIRAGANA"] = kana + scripts.pop("CJK", 0)
    return scripts.most_common(1)[0][0]


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> BLEU:
    """SacreBLEU's metric with that tokenizer.

    Raises:
        MissingExtraError: If it needs a package that isn't there.
        ModelError: If it needs a model that isn't there and can't be downloaded.
    """
    try:
        return BLEU(tokenize=name)
    except RuntimeError as fault:
        if name not in EXTRAS:
            raise
        extra, package = EXTRAS[name]
        raise MissingExtraError(
            package=package,
            extra=extra,
            purpose=f"The tokenizer {name} (evaluation.tokenize; char does without)",
        ) from fault
    except OSError as fault:
        if name not in DOWNLOADED:
            raise
        raise ModelError(
            f"tokenize = {name}: its SentencePiece model could not be downloaded ({fault}). sacreBLEU keeps them "
            "in ~/.sacrebleu/models: copy the file from a machine that has it, or choose another evaluation.tokenize."
        ) from fault


class _CachedWords(dict[str, list[str]]):
    """13a word by word: what stands between spaces is cut up for itself, and words come again."""

    def __init__(self, tokenize: Callable[[str], str]) -> None:
        super().__init__()
        self._tokenize = tokenize

    def __missing__(self, word: str) -> list[str]:
        self[word] = tokens = self._tokenize(word).split()
        return tokens


def words_of(name: str) -> Tokenizer:
    """What cuts a text into the tokens that sacreBLEU's tokenizer gives.

    Raises:
        MissingExtraError: See `load_tokenizer`.
        ModelError: See `load_tokenizer`.
    """
    tokenizer: Callable[[str], str] = load_tokenizer(name).tokenizer
    if name != "13a":
        return lambda text: tokenizer(text.rstrip()).split()
    words = _CachedWords(tokenizer)

    def tokenize(text: str) -> list[str]:
        if "\n" in text:  # 13a joins lines, which may join words
            return tokenizer(text.rstrip()).split()
        return list(chain.from_iterable(map(words.__getitem__, text.split())))

    return tokenize


def texts_as_words(name: str, streams: Iterable[Iterable[str]]) -> list[list[list[str]]]:
    """Several streams of texts, cut into tokens."""
    tokenize = words_of(name)
    return [list(map(tokenize, stream)) for stream in streams]


def splitter(tokenizer: str, references: Sequence[str]) -> tuple[str, Tokenizer]:
    """How words are told apart in error rates and ROUGE: by white space, where the script has any.

    Elsewhere by BLEU's tokenizer, and by characters where that one needs spaces itself.
    """
    own = OF_SCRIPTS.get(main_script(references), DEFAULT)
    if own in (DEFAULT, "ko-mecab"):
        return "whitespace", str.split
    name = "char" if tokenizer in ("13a", "intl", "none") else tokenizer
    return name, words_of(name)
