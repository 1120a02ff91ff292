"""Files, history, keyboard and a service that refuses: the page in a real browser."""

from __future__ import annotations

import av
import numpy as np
import pytest

from conftest import make_pose
from page_browser import NEEDS_PAGE, open_page
from page_service import KEYPOINTS, unpack_landmarks
from signseq.poses.sequence import write_pose

pytestmark = NEEDS_PAGE
NOSE = 1 + 4 * KEYPOINTS.index("POSE_LANDMARKS.NOSE")
FOCUSED = "(document.activeElement.id || document.activeElement.textContent)"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with open_page(tmp_path_factory.mktemp("page"), camera=False) as page:
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


@pytest.fixture
def video_path(tmp_path):
    """A second at 20 pictures per second."""
    path = tmp_path / "signer.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=20)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(20):
            picture = np.full((240, 320, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


# ----------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("way", ["drop", "choose"])
def test_a_pose_file_is_sent_as_it_is_and_shown(page, pose_path, way):
    page.open()
    getattr(page, way)(pose_path)
    page.wait_for_text("text", page.fake.text)

    assert page.fake.posted == [(pose_path.read_bytes(), {"model": "signs", "n_best": "3"})]
    assert "sentence.pose" in page.text("history")
    assert page.text("clock").endswith("of 1.6 s")
    assert page.browser.errors == []


def test_what_a_file_is_decides_not_its_name(page, pose_path):
    other = pose_path.with_name("x.mp4")
    pose_path.rename(other)
    page.open()
    page.drop(other)
    page.wait_for_text("text", page.fake.text)

    assert len(page.fake.posted) == 1
    assert page.fake.posted[0][0] == other.read_bytes()


def test_of_a_video_only_landmarks_are_sent(page, video_path):
    page.open()
    page.drop(video_path)
    page.wait_for_text("text", page.fake.text, seconds=30)

    ((body, _),) = page.fake.posted
    header, frames = unpack_landmarks(body)
    assert header["fps"] == pytest.approx(20, rel=0.01)
    assert len(frames) == 20
    assert frames[:, 0] == pytest.approx(np.arange(20) / 20, abs=1e-3)
    assert frames[0, NOSE : NOSE + 4] == pytest.approx([160, 60, -0.25, 0.75])
    assert "signer.webm" in page.text("history")


def test_a_video_that_is_too_long_is_refused_before_the_work(page, video_path):
    page.fake.max_seconds = 0.5
    page.open()
    page.drop(video_path)

    page.wait_for_text("trouble-text", "the model takes up to 0.5")
    assert page.fake.posted == []


def test_a_video_that_the_browser_cannot_play_is_sent_only_if_somebody_says_so(page, tmp_path):
    path = tmp_path / "old.avi"
    path.write_bytes(b"RIFF\0\0\0\0AVI LIST")
    page.open()
    page.drop(path)
    page.wait_for_text("trouble-text", "can't play old.avi")
    assert "the video itself leaves this machine" in page.text("trouble-text")
    edges = "[...document.querySelectorAll('#trouble-buttons button')].map((b) => b.getBoundingClientRect())"
    assert page.browser.run(f"(([a, b]) => b.left - a.right)({edges})") > 5
    assert page.fake.posted == []

    page.click_button("Send the video")
    page.wait_for_text("text", page.fake.text)
    assert page.fake.posted[0][0] == path.read_bytes()


def test_several_files_are_translated_one_after_the_other(page, pose_path, video_path):
    page.open()
    page.choose(pose_path)
    page.wait_for_text("history", "sentence.pose")
    page.choose(video_path)
    page.wait_for_text("history", "signer.webm", seconds=30)

    assert page.browser.run("document.querySelectorAll('#history > li').length") == 2


@pytest.mark.parametrize("content", [b"", b"\xcd\xcc\xcc\x3d", b"\xcd\xcc\x4c\x3e" + b"\xff" * 50])
def test_a_broken_pose_file_is_left_to_the_service_to_explain(page, tmp_path, content):
    path = tmp_path / "broken.pose"
    path.write_bytes(content)
    page.fake.refusals = [(400, {}, "This is no .pose file.")]
    page.open()
    page.drop(path)

    page.wait_for_text("trouble-text", "This is no .pose file.")
    assert page.browser.errors[1:] == []  # the browser itself notes the 400


# --------------------------------------------------------------------------------------- history


def test_the_history_replays_saves_and_forgets(page, pose_path):
    page.open()
    page.drop(pose_path)
    page.wait_for_text("text", page.fake.text)
    page.click("close-replay")
    assert page.browser.run("stage.dataset.shows") == "nothing"

    page.click_button("Replay", "#history")
    page.browser.wait_for("document.getElementById('position').value === '39'")
    assert page.text("play") == "Play"
    page.click_button("Save text", "#history")
    assert page.downloaded(".txt").read_text() == f"{page.fake.text}\n"
    page.click_button("Remove", "#history")
    assert "until you close the page" in page.text("no-history")


def test_all_texts_are_saved_in_the_order_they_were_said(page, pose_path):
    page.open()
    for text in ("First .", "Second ."):
        page.fake.text = text
        page.choose(pose_path)
        page.wait_for_text("text", text)
    page.click("save-all")

    assert page.downloaded(".txt").read_text() == "First .\nSecond .\n"


# ---------------------------------------------------------------------------- models and languages


def test_model_and_language_are_what_was_chosen(page, pose_path):
    page.fake.languages = ("deu_Latn", "en")
    page.open()
    assert page.browser.run("document.getElementById('language').value") == "deu_Latn"
    page.browser.run(
        "model.value = 'letters'; model.dispatchEvent(new Event('change')); language.value = 'en';"
    )
    page.choose(pose_path)
    page.wait_for_text("text", page.fake.text)

    assert page.fake.posted[0][1] == {"model": "letters", "language": "en", "n_best": "3"}


@pytest.mark.parametrize("is_demo", [True, False])
def test_a_demo_says_that_it_is_one(page, is_demo):
    page.fake.is_demo = is_demo
    page.open()

    assert ("Don't expect it to understand real signing" in page.text("demo")) == is_demo


def test_a_key_is_asked_for_and_used(page, pose_path):
    page.fake.key = "secret"
    page.open()
    for key in ("wrong", "secret"):
        assert page.browser.run("document.activeElement.id") == "key"
        page.browser.run(f"document.activeElement.value = {key!r}")
        page.browser.press("Enter")
        if key == "wrong":
            page.wait_for_text("trouble-text", "This key isn't known")
    page.browser.wait_for("document.getElementById('version').textContent")
    page.choose(pose_path)
    page.wait_for_text("text", page.fake.text)

    assert page.text("key-form") == page.text("trouble-text") == ""


# ----------------------------------------------------------------------------- a service in trouble


def test_a_busy_service_is_asked_again_when_it_says(page, pose_path):
    page.fake.refusals = [(503, {"Retry-After": "2"}, "The queue is full.")]
    page.open()
    page.choose(pose_path)

    page.wait_for_text("working-text", "Trying again in 2 s")
    page.wait_for_text("text", page.fake.text)
    assert page.text("trouble-text") == ""


def test_waiting_for_a_busy_service_can_be_cancelled(page, pose_path):
    page.fake.refusals = [(429, {"Retry-After": "60"}, "Too many requests.")]
    page.open()
    page.choose(pose_path)
    page.wait_for_text("working-text", "Trying again in 60 s")
    page.browser.press("Escape")

    page.browser.wait_for("document.getElementById('working').hidden")
    assert page.fake.posted == []


def test_a_service_that_fails_can_be_asked_again(page, pose_path):
    page.fake.refusals = [(500, {}, "Something broke; the log says what.")]
    page.open()
    page.choose(pose_path)
    page.wait_for_text("trouble-text", "Something broke")
    page.click_button("Try again")

    page.wait_for_text("text", page.fake.text)


def test_a_clip_that_cannot_be_used_is_explained_in_the_services_words(page, pose_path):
    page.fake.refusals = [(422, {}, "No frame shows both shoulders.")]
    page.open()
    page.choose(pose_path)

    page.wait_for_text("trouble-text", "No frame shows both shoulders.")
    assert page.browser.run("document.querySelectorAll('#trouble-buttons button').length") == 1


def test_a_service_that_is_away_is_asked_again_until_it_is_there(page):
    page.open()
    page.fake.away = True
    page.browser.visit(page.fake.address)
    page.wait_for_text("trouble-text", "The page tries again in 1 s")
    page.fake.away = False

    page.browser.wait_for("document.getElementById('version').textContent")
    assert page.text("trouble-text") == ""


# ------------------------------------------------------------------------------------- no camera


def test_without_a_camera_it_says_so_and_files_still_work(page, pose_path):
    page.open()
    page.click("camera")
    page.wait_for_text("trouble-text", "There is no camera here")
    page.choose(pose_path)

    page.wait_for_text("text", page.fake.text)
    assert page.text("trouble-text") == ""


def test_everything_is_reached_by_keyboard_in_the_order_it_is_seen(page, pose_path):
    page.fake.languages = ("en", "de")
    page.open()
    page.choose(pose_path)
    page.wait_for_text("text", page.fake.text)
    page.browser.run("document.activeElement.blur()")
    page.browser.send("Page.bringToFront")
    met = []
    for _ in range(18):
        page.browser.press("Tab")
        met.append(page.browser.run(FOCUSED))

    order = [
        "To the translation",
        "model",
        "language",
        "play",
        "position",
        "close-replay",
        "camera",
        "file",
    ]
    order += ["Replay", "Save .pose", "Save text", "save-all", "clear"]
    order += ["Replay", "Save .pose", "Save text", "Remove"]
    assert met[: len(order)] == order


def test_buttons_work_by_keyboard(page, pose_path):
    page.open()
    page.choose(pose_path)
    page.wait_for_text("text", page.fake.text)
    page.browser.run("[...document.querySelectorAll('#history button')].at(-1).focus()")
    page.browser.press("Enter")

    assert page.text("history") == ""
    assert page.browser.run("document.activeElement.id") == "file"
