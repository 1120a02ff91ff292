"""ELAN's annotation files (.eaf), version 3.0.

Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from signseq.subtitling.cues import Subtitles, to_ms

__all__ = ["TRANSLATION", "format_eaf"]

SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TRANSLATION, CONFIDENCE = "translation", "confidence"
ONE_TO_ONE = "Symbolic_Association"
CONSTRAINTS = {  # ELAN's own four, in its own words
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps allowed within this "
    "interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to the same parent "
    "are ordered",
    ONE_TO_ONE: "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are allowed",
}


def format_eaf(subtitles: Subtitles, *, folder: Path, now: datetime | None = None) -> str:
    """Subtitles as an EAF file: a tier of translations, and one that says how sure each is.

    A video is linked as ELAN's medium; of a .pose file, the video of its name beside it, if there is one.

    Args:
        subtitles: What to write.
        folder: Where the file will be; ELAN looks for the medium from there.
        now: What to give as the time of writing.
    """
    written = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    ElementTree.register_namespace("xsi", INSTANCE)
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "signseq",
            "DATE": written,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA,
        },
    )
    cues, sure = subtitles.cues, [cue.confidence is not None for cue in subtitles.cues]
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    _link(header, Path(subtitles.recording), folder)
    last = SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(len(cues) + sum(sure))
    order = SubElement(root, "TIME_ORDER")
    times = [to_ms(time) for cue in cues for time in (cue.start, cue.end)]
    for number, time in enumerate(times, start=1):
        SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(time))
    _add_tiers(root, [cue.text or "" for cue in cues], [cue.confidence for cue in cues])
    ElementTree.indent(root, "    ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_tiers(root: Element, texts: Sequence[str], confidences: Sequence[float | None]) -> None:
    tier = SubElement(root, "TIER", LINGUISTIC_TYPE_REF=TRANSLATION, TIER_ID=TRANSLATION)
    for number, text in enumerate(texts, start=1):
        SubElement(
            SubElement(tier, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            TIME_SLOT_REF1=f"ts{2 * number - 1}",
            TIME_SLOT_REF2=f"ts{2 * number}",
        ).append(_value(text))
    tier = SubElement(
        root,
        "TIER",
        LINGUISTIC_TYPE_REF=CONFIDENCE,
        PARENT_REF=TRANSLATION,
        TIER_ID=CONFIDENCE,
    )
    known = [(number, each) for number, each in enumerate(confidences, start=1) if each is not None]
    for number, (parent, confidence) in enumerate(known, start=len(texts) + 1):
        SubElement(
            SubElement(tier, "ANNOTATION"),
            "REF_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            ANNOTATION_REF=f"a{parent}",
        ).append(_value(f"{confidence:.3f}"))
    kinds = {TRANSLATION: {"TIME_ALIGNABLE": "true"}}
    kinds[CONFIDENCE] = {"CONSTRAINTS": ONE_TO_ONE, "TIME_ALIGNABLE": "false"}
    for name, facts in kinds.items():
        SubElement(
            root, "LINGUISTIC_TYPE", facts, GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID=name
        )
    for name, said in CONSTRAINTS.items():
        SubElement(root, "CONSTRAINT", DESCRIPTION=said, STEREOTYPE=name)


def _value(text: str) -> Element:
    value = Element("ANNOTATION_VALUE")
    value.text = text
    return value


def _link(header: Element, recording: Path, folder: Path) -> None:
    """Name what the annotations are of: a video as the medium, poses as a linked file."""
    video = recording
    if recording.suffix.lower() == ".pose":
        beside = (
            recording.with_suffix(suffix) for suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi")
        )
        found = next((path for path in beside if path.is_file()), None)
        if found is None:
            names = ("LINKED_FILE_DESCRIPTOR", "LINK_URL", "RELATIVE_LINK_URL", "application/pose")
            return _describe(header, recording, folder, names)
        video = found
    kind = mimetypes.guess_type(video.name)[0] or "video/*"
    _describe(header, video, folder, ("MEDIA_DESCRIPTOR", "MEDIA_URL", "RELATIVE_MEDIA_URL", kind))


def _describe(header: Element, file: Path, folder: Path, names: tuple[str, str, str, str]) -> None:
    element, absolute, relative, kind = names
    facts = {absolute: file.resolve().as_uri(), "MIME_TYPE": kind}
    try:
        inside = Path(os.path.relpath(file.resolve(), folder.resolve()))
    except ValueError:  # on another drive
        inside = Path(file.name)
    SubElement(header, element, facts | {relative: quote(f"./{inside.as_posix()}")})
