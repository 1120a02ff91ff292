"""The page in front of the server itself, in a real browser."""

from __future__ import annotations

import base64
import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
import torch

from browser import Browser
from conftest import sign_pose
from page_browser import CAMERA, NEEDS_PAGE, SOFTWARE_GL, Page, write_y4m
from page_service import STAND_IN, Fake, Running
from servers import Stuck, pose_bytes
from signseq.config import ModelConfig
from signseq.model.building import build_model, build_text_side
from signseq.model.text_models import load_text_model
from signseq.model.vocabulary import train_tokenizer
from signseq.poses.keypoints import get_keypoint_set
from signseq.poses.sequence import write_pose
from signseq.serving.app import create_app
from signseq.serving.pages import WEB
from signseq.serving.settings import ServeSettings
from signseq.translation import Translator

pytestmark = NEEDS_PAGE


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """The page, with a stand-in for MediaPipe."""
    web = tmp_path_factory.mktemp("page") / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("*.wasm", "*.data", "*.tflite"))
    (web / "mediapipe/holistic.js").write_text(STAND_IN % {"body": "true", "hands": "true"})
    return web


@pytest.fixture(scope="module")
def app(trained, web):
    """A model that has learned a corpus, and a multilingual one that has learned nothing."""
    tiny = Translator.from_pretrained(trained)
    models = {"tiny": tiny, "many": multilingual(like=tiny)}
    return create_app(ServeSettings(max_wait_ms=50), models, demos=frozenset({"tiny"}), web=web)


def multilingual(*, like):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["we eat bread", "wir essen brot"] * 2)
    tokenizer.add_special_tokens({"extra_special_tokens": ["de_DE", "en_XX"]})
    size = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64}
    settings = {"name": "m2m_100", "from_scratch": True, "size": size}
    text_model = load_text_model(ModelConfig.model_validate(settings), tokenizer)
    keypoints = get_keypoint_set("upper_body_hands").keypoints
    model = build_model(
        text_model,
        encoder={"type": "conv", "stride": 2, "width": 16, "positions": "auto"},
        recipe={"keypoints": "upper_body_hands", "fps": None, "dimensions": 2},
        keypoints=keypoints,
        mean=torch.zeros(len(keypoints), 2),
        spread=torch.ones(len(keypoints), 2),
        text_side=build_text_side(text_model, tokenizer, max_length=8, target_language="en"),
        max_frames=64,
    )
    return Translator(model, tokenizer, settings=like.settings)


@pytest.fixture(scope="module")
def page(app, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    write_y4m(folder / "camera.y4m")
    running = Running(app)
    video = f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}"
    browser = Browser(folder / "profile", *SOFTWARE_GL, *CAMERA, video)
    (folder / "downloads").mkdir()
    yield Page(browser, Fake(address=running.address), folder / "downloads")
    browser.close()
    running.stop()


def test_a_dropped_pose_becomes_its_text(page, tmp_path):
    write_pose(tmp_path / "clip.pose", sign_pose("you see bread"), size=(500, 500))
    page.open()
    page.drop(tmp_path / "clip.pose")

    page.wait_for_text("text", "you see bread")
    assert "This model is a demo" in page.text("demo")
    assert page.browser.errors == []


def test_what_is_signed_to_the_camera_is_translated_by_the_socket(page):
    page.open()
    page.start_camera()
    page.browser.press(" ")
    page.wait_for_text("mark", "3 s")
    page.browser.press(" ")

    page.browser.wait_for("document.getElementById('history').children.length")
    assert "camera" in page.text("history")
    sent = [address for address in page.browser.requests if "translate" in address]
    assert len(sent) == 1  # of the test before: nothing had to be posted
    assert page.browser.errors == []


def test_two_tabs_get_their_own_answers(page, tmp_path):
    texts = {"here": "you see bread", "there": "we eat water"}
    for name, text in texts.items():
        write_pose(tmp_path / f"{name}.pose", sign_pose(text), size=(500, 500))
    page.open()
    opening = "globalThis.tab = open(location.href); 0"
    page.browser.send("Runtime.evaluate", expression=opening, userGesture=True)
    page.browser.wait_for("tab.document.getElementById('version')?.textContent")
    content = base64.b64encode((tmp_path / "there.pose").read_bytes()).decode()
    give = (
        "(() => { const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));"
        " const given = new tab.DataTransfer(); given.items.add(new tab.File([bytes], 'there.pose'));"
        " const field = tab.document.getElementById('file'); field.files = given.files;"
        " field.dispatchEvent(new tab.Event('change')); })()"
    )
    page.browser.run(give % content)
    page.choose(tmp_path / "here.pose")

    page.wait_for_text("text", texts["here"])
    page.browser.wait_for(f"tab.document.getElementById('text').textContent === {texts['there']!r}")
    assert page.text("text") == texts["here"]
    page.browser.run("tab.close()")


def test_a_multilingual_model_among_several_writes_the_language_chosen(page, tmp_path):
    write_pose(tmp_path / "clip.pose", sign_pose("you see bread"), size=(500, 500))
    page.open()
    assert page.browser.run("[...model.options].map((o) => o.value)") == ["tiny", "many"]
    assert page.text("language-label") == ""
    page.browser.run("model.value = 'many'; model.dispatchEvent(new Event('change'))")
    shown = page.browser.run("[...language.options].map((o) => o.textContent)")
    assert shown == ["English (en_XX)", "German (Germany) (de_DE)"]
    assert page.browser.run("language.value") == "en_XX"
    page.browser.run("language.value = 'de_DE'")
    page.choose(tmp_path / "clip.pose")

    page.browser.wait_for("document.getElementById('history').children.length")
    assert "many to de_DE" in page.text("history")
    assert page.text("demo") == ""
    assert page.browser.errors == []


def test_a_pose_without_frames_is_explained_in_the_services_words(page, tmp_path):
    path = tmp_path / "empty.pose"
    write_pose(path, sign_pose("water"), size=(500, 500))
    content = path.read_bytes()
    at = content.index(struct.pack("<IH", len(sign_pose("water")), 1))
    path.write_bytes(content[:at] + struct.pack("<IH", 0, 1))
    page.open()
    page.drop(path)

    page.wait_for_text("trouble-text", "no frames")
    assert page.browser.run("document.querySelectorAll('#trouble-buttons button').length") == 1


def test_a_clip_that_the_full_server_refuses_is_sent_again_until_it_is_translated(
    page, trained, web, tmp_path
):
    stuck = Stuck(Translator.from_pretrained(trained))
    app = create_app(ServeSettings(max_wait_ms=0, queue_size=1), {"tiny": stuck}, web=web)
    running = Running(app)
    page = Page(page.browser, Fake(address=running.address), page.downloads)
    page.open()
    page.start_camera()
    with ThreadPoolExecutor(2) as others:
        post = partial(httpx.post, f"{running.address}v1/translate", content=pose_bytes("water"))
        others.submit(post)
        stuck.begun.wait(10)
        others.submit(post)
        while not len(app.state.service.models["tiny"].queue):
            time.sleep(0.01)
        page.browser.press(" ")
        page.wait_for_text("mark", "1 s")
        page.browser.press(" ")
        page.wait_for_text("working-text", "The service is busy. Trying again in")
        stuck.going.set()

        page.wait_for_text("text", "done")
    refused = 'method="POST",route="/v1/translate",status="503"} 1.0'
    assert refused in httpx.get(f"{running.address}metrics").text
    assert page.text("trouble-text") == ""
    running.stop()
