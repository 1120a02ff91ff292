"""The page in front of the server itself, in a real browser."""

from __future__ import annotations

import shutil

import pytest

from browser import CHROMIUM, Browser
from conftest import sign_pose
from page_browser import SOFTWARE_GL, Page, write_y4m
from page_service import STAND_IN, Fake, Running
from servers import Server
from signseq.poses.sequence import write_pose
from signseq.serving.pages import WEB

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(
        not (WEB / "index.html").is_file(), reason="`make page` hasn't built the page"
    ),
]
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    web = folder / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("*.wasm", "*.data", "*.tflite"))
    (web / "mediapipe/holistic.js").write_text(STAND_IN % {"body": "true", "hands": "true"})
    write_y4m(folder / "camera.y4m")
    running = Running(Server(trained).app(web=web, demos=frozenset({"tiny"})))
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
