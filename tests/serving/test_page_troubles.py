"""What goes wrong while somebody uses the page: files, the network, other tabs, long use; in a real browser."""

from __future__ import annotations

import struct
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

from browser import Browser
from conftest import make_pose
from page_browser import CAMERA, NEEDS_PAGE, SOFTWARE_GL, Page, open_page, write_y4m
from page_service import KEYPOINTS, Fake, Running, make_app
from signseq.poses.sequence import write_pose

pytestmark = NEEDS_PAGE


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with open_page(tmp_path_factory.mktemp("page"), camera=True) as page:
        yield page


@pytest.fixture
def page(opened):
    opened.reset()
    return opened


@pytest.fixture
def pose_path(tmp_path):
    path = tmp_path / "sentence.pose"
    write_pose(path, make_pose(frames=40, keypoints=KEYPOINTS), size=(640, 480))
    return path


# ----------------------------------------------------------------------------------------- files


def test_what_is_neither_pose_nor_video_is_refused_and_stays_here(page, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("dear all")
    page.open()
    page.drop(path)

    page.wait_for_text("trouble-text", "letter.txt is neither a .pose file nor a video")
    assert "Send the video" not in page.text("trouble-buttons")
    assert page.fake.posted == []


def test_a_folder_is_refused(page, tmp_path):
    (tmp_path / "poses").mkdir()
    page.open()
    page.drop(tmp_path / "poses")

    page.wait_for_text("trouble-text", "poses can't be read")
    assert page.browser.errors == []


@pytest.mark.parametrize("frames", [0, 200_000])
def test_a_pose_file_whose_header_lies_is_left_to_the_service(page, pose_path, frames):
    content = bytearray(pose_path.read_bytes())
    at = content.index(struct.pack("<IH", 40, 1))
    content[at : at + 4] = struct.pack("<I", frames)
    pose_path.write_bytes(content)
    page.fake.refusals = [(422, {}, "This file's header is wrong.")]
    page.open()
    page.drop(pose_path)

    page.wait_for_text("trouble-text", "This file's header is wrong.")
    assert page.browser.run("document.getElementById('stage').dataset.shows") == "nothing"


@pytest.fixture
def video_path(tmp_path):
    """Three seconds of noise, which compresses badly: its middle is pictures."""
    path, rng = tmp_path / "signer.mp4", np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.gop_size = 12
        for _ in range(60):
            picture = rng.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def test_a_video_that_is_damaged_in_the_middle_says_where(page, video_path):
    content = bytearray(video_path.read_bytes())
    content[len(content) // 2 : len(content) * 3 // 4] = bytes(len(content) // 4)
    video_path.write_bytes(content)
    page.open()
    page.drop(video_path)

    page.wait_for_text("trouble-text", "The video is damaged 1.")
    assert page.text("working-text") == ""
    assert page.fake.posted == []


@pytest.mark.parametrize("event", ["onloadeddata", "onseeked"])
def test_a_video_that_the_browser_is_stuck_with_can_be_cancelled(page, video_path, event):
    page.before(f"Object.defineProperty(HTMLMediaElement.prototype, {event!r}, {{ set() {{}} }});")
    page.open()
    page.drop(video_path)
    page.wait_for_text("working-text", "Opening signer.mp4")
    page.browser.wait_for("video.readyState > 0 && video.paused")
    page.browser.press("Escape")

    page.browser.wait_for("document.getElementById('working').hidden")
    assert page.text("trouble-text") == ""


# --------------------------------------------------------------------------------------- network


def test_a_service_that_goes_away_in_the_middle_gets_the_clip_when_it_is_back(tmp_path):
    fake = Fake()
    running = Running(make_app(fake))
    fake.address = running.address
    write_y4m(tmp_path / "camera.y4m")
    video = f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}"
    browser = Browser(tmp_path / "profile", *SOFTWARE_GL, *CAMERA, video)
    page = Page(browser, fake, tmp_path)
    page.open()
    page.start_camera()
    browser.press(" ")
    page.wait_for_text("partial", "woman")
    running.stop()
    browser.press(" ")
    page.wait_for_text("trouble-text", "The service doesn't answer")
    again = Running(make_app(fake), port=urlsplit(running.address).port)
    page.click_button("Try again")

    page.wait_for_text("text", fake.text)
    assert len(fake.posted) == 1
    browser.close()
    again.stop()


def test_a_recording_waits_for_a_busy_service(page):
    page.fake.socket_works = False
    page.fake.refusals = [(503, {"Retry-After": "1"}, "The queue is full.")]
    page.open()
    page.start_camera()
    page.browser.press(" ")
    page.wait_for_text("mark", "1 s")
    page.browser.press(" ")

    page.wait_for_text("working-text", "The service is busy. Trying again in 1 s")
    page.wait_for_text("text", page.fake.text)
    assert "camera" in page.text("history")


def test_a_clip_that_was_refused_for_want_of_a_key_is_sent_with_the_key(page, pose_path):
    page.open()
    page.fake.key = "secret"
    page.choose(pose_path)
    for key in ("wrong", "secret"):
        page.wait_for_text("trouble-text", "This key isn't known")
        page.click_button("Dismiss")
        page.browser.run(f"document.getElementById('key').value = {key!r}")
        page.click_button("Use it")

    page.wait_for_text("text", page.fake.text)
    assert [body for body, _ in page.fake.posted] == [pose_path.read_bytes()]


# ------------------------------------------------------------------------------------------ use


def test_a_camera_that_is_cancelled_while_it_is_asked_for_stays_off(page):
    page.before(
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        " navigator.mediaDevices.getUserMedia = async (wish) => {"
        " await new Promise((go) => { window.allow = go; }); return ask(wish); };"
    )
    page.open()
    page.click("camera")
    page.wait_for_text("working-text", "Starting the camera")
    page.browser.press("Escape")
    page.browser.run("allow()")

    page.browser.wait_for("document.getElementById('working').hidden")
    assert page.text("camera") == "Start camera"
    assert page.browser.run("document.getElementById('video').srcObject === null")


def test_a_space_bar_that_is_held_neither_records_twice_nor_scrolls(page):
    page.open()
    page.start_camera()
    page.browser.run("document.body.style.minHeight = '300vh'; document.activeElement.blur()")
    key = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "}
    for number in range(4):
        page.browser.send("Input.dispatchKeyEvent", type="keyDown", autoRepeat=number > 0, **key)
    page.wait_for_text("partial", "woman")

    assert page.browser.run("scrollY") == 0
    assert page.text("record-text") == "Stop and translate"


@pytest.mark.parametrize("name", ["key", "model", "position", "clear"])
def test_the_space_bar_belongs_to_the_field_that_has_the_keyboard(page, name):
    page.open()
    page.start_camera()
    page.browser.run(
        "document.getElementById('key-form').hidden = document.getElementById('replay').hidden ="
        f" document.getElementById('clear').hidden = false; document.getElementById({name!r}).focus()"
    )
    page.browser.press(" ")

    assert page.text("record-text") == "Record"


@pytest.mark.parametrize(
    ("code", "tag"), [("deu_Latn", "de-Latn"), ("en_XX", "en"), ("pt_BR", "pt-BR"), ("sw", "sw")]
)
def test_a_text_says_its_language_as_browsers_know_it(page, pose_path, code, tag):
    page.fake.languages = (code,)
    page.open()
    page.choose(pose_path)
    page.wait_for_text("text", page.fake.text)

    assert page.browser.run("document.getElementById('text').lang") == tag


def test_many_languages_are_listed_by_name(page):
    page.fake.languages = (
        "zul_Latn",
        "deu_Latn",
        *(f"q{n:02}_Latn" for n in range(99)),
        "fra_Latn",
    )
    page.open()
    shown = page.browser.run(
        "[...document.querySelectorAll('#language option')].map((o) => o.text)"
    )
    known = [text.split()[0] for text in shown if not text.startswith("q")]

    assert len(shown) == 102
    assert known == ["French", "German", "Zulu"]
    assert page.browser.run("document.getElementById('language').value") == "zul_Latn"


def test_a_long_history_lets_the_oldest_skeletons_go_but_no_text(page, tmp_path):
    path = tmp_path / "long.pose"
    frames = 30 * 2**20 // (16 * len(KEYPOINTS))  # 30 MiB in the page
    write_pose(path, make_pose(frames=frames, keypoints=KEYPOINTS), size=(640, 480))
    page.open()
    for _ in range(10):
        before = page.browser.run("document.getElementById('history').children.length")
        page.choose(path)
        page.browser.wait_for(f"document.getElementById('history').children.length > {before}")
    page.browser.wait_for("document.getElementById('working').hidden")

    shown = page.browser.run(
        "[...document.querySelectorAll('#history > li')].map((i) => i.innerText)"
    )
    assert len(shown) == 10
    assert "Replay" in shown[0]
    assert "Replay" in shown[7]
    assert "Too old to replay" in shown[8]
    assert "Save text" in shown[-1]
    assert page.browser.run("document.documentElement.scrollWidth <= innerWidth")
