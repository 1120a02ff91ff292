"""The pictures in docs/ are drawn by code that still runs and shows everything."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from signseq.config import AugmentConfig

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drawing", DOCS / "draw_augmentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_augmentation_shows_every_transform(drawing: ModuleType) -> None:
    drawn = drawing.draw(drawing.make_clip())
    stored = (DOCS / "augmentation.svg").read_text(encoding="utf-8")
    for picture in (drawn, stored):
        labels = " ".join(node.text or "" for node in ET.fromstring(picture).iter() if node.text)
        assert all(name in labels for name in (*AugmentConfig.model_fields, "random phase"))
    assert len(drawn.splitlines()) == len(stored.splitlines())
    assert abs(len(drawn) - len(stored)) < 0.02 * len(stored)
    assert len(stored) < 200_000


def test_every_transform_changes_what_is_drawn(drawing: ModuleType) -> None:
    clip = drawing.make_clip()
    plain = drawing.draw_place(clip, {}, 0)
    assert all(drawing.draw_place(clip, *change) != plain for change in drawing.PLACES.values())
    shown = clip[drawing.SHOWN]
    still = drawing.draw_time(shown, {}, 0)
    assert all(drawing.draw_time(shown, *change) != still for change in drawing.TIMES.values())
