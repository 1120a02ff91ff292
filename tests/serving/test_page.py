"""The page in a real browser with a fake camera, in front of a service that keeps to the contract."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from browser import Browser
from page_browser import CAMERA, NEEDS_PAGE, SOFTWARE_GL, Page, open_page, write_y4m
from page_service import KEYPOINTS, Fake, Running, make_app, unpack_landmarks
from signseq import read_pose
from signseq.poses.skeletons import SKELETONS

pytestmark = NEEDS_PAGE
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
NAMES = SKELETONS["mediapipe_holistic_world"].names
NOSE = 1 + 4 * KEYPOINTS.index("POSE_LANDMARKS.NOSE")  # behind the time
TALL, WIDE = {"width": 390, "height": 844}, {"width": 844, "height": 390}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with open_page(tmp_path_factory.mktemp("page"), camera=True) as page:
        yield page


@pytest.fixture
def page(opened):
    opened.reset()
    yield opened
    assert {address.split("/")[2] for address in opened.browser.requests if "://" in address} == {
        opened.fake.address.split("/")[2]
    }, "the page asked another host"


def no_fault(page):
    return [error for error in page.browser.errors if "GPU stall" not in error]


# ------------------------------------------------------------------------------------ the camera


def test_space_records_and_the_translation_grows_until_space_ends_it(page):
    page.open()
    page.start_camera()

    page.record(frames=20)

    (frames,) = page.fake.streamed
    assert len(frames) >= 16
    assert frames.shape[1] == 1 + 4 * len(KEYPOINTS)
    assert frames[0, 0] == 0
    assert (np.diff(frames[:, 0]) > 0).all()
    assert frames[0, NOSE : NOSE + 4] == pytest.approx([320, 120, -0.25, 0.75])
    assert page.fake.started[0]["keypoints"] == list(KEYPOINTS)
    assert page.fake.posted == []
    assert page.text("partial") == ""
    assert "A woman read books ." in page.text("hypotheses")
    assert "-0.58" in page.text("hypotheses")
    assert no_fault(page) == []


def test_the_skeleton_lies_over_the_picture(page):
    page.open()
    page.start_camera()

    page.browser.wait_for(
        # The right wrist's hand swings around (0.4, 0.6) of the picture, in blue.
        "(() => { const c = document.getElementById('canvas');"
        " const d = c.getContext('2d').getImageData(0.3 * c.width, 0.5 * c.height, 0.2 * c.width, 0.2 * c.height).data;"
        " for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 240 && d[i] < 150 && d[i + 3] > 200) return true;"
        " return false; })()"
    )
    assert page.browser.run("[canvas.width, canvas.height]") == [640, 480]


def test_a_saved_pose_holds_what_was_recorded(page):
    page.open()
    page.start_camera()
    page.record()

    page.click_button("Save .pose", "#history")
    pose = read_pose(page.downloaded(".pose"))

    assert pose.keypoints == NAMES
    assert pose.estimator == "mediapipe"
    assert pose.seconds == pytest.approx(page.fake.streamed[0][-1, 0], abs=2 / pose.fps)
    assert pose.data[0, 0] == pytest.approx([320, 120, -0.25])
    assert pose.confidence[0, 0] == pytest.approx(0.75)
    hand = NAMES.index("LEFT_HAND_LANDMARKS.WRIST")
    assert (pose.confidence[:, hand] == 1).all()


def test_where_the_socket_fails_the_clip_is_posted(page):
    page.fake.socket_works = False
    page.open()
    page.start_camera()

    page.browser.press(" ")
    page.wait_for_text("mark", "1 s")
    page.browser.press(" ")
    page.wait_for_text("text", page.fake.text)

    (body, query), *_ = page.fake.posted
    header, frames = unpack_landmarks(body)
    assert header["keypoints"] == list(KEYPOINTS)
    assert header["estimator"] == "mediapipe_holistic"
    assert frames[0, NOSE : NOSE + 4] == pytest.approx([320, 120, -0.25, 0.75])
    assert query["model"] == "signs"


def test_escape_drops_a_recording(page):
    page.open()
    page.start_camera()

    page.browser.press(" ")
    page.wait_for_text("partial", "The")
    page.browser.press("Escape")

    page.wait_for_text("status", "dropped")
    assert page.fake.streamed == []
    assert page.fake.posted == []


def test_a_recording_ends_where_the_model_does(page):
    page.fake.max_seconds = 1.5
    page.open()
    page.start_camera()

    page.browser.press(" ")
    page.wait_for_text("text", page.fake.text)

    assert page.fake.streamed[0][-1, 0] < 2


@pytest.mark.parametrize(
    ("body", "hands", "hint"),
    [(False, False, "Nobody is in view"), (True, False, "Your hands are out of view")],
)
def test_it_says_what_is_out_of_view(page, body, hands, hint):
    page.fake.body, page.fake.hands = body, hands
    page.open()
    page.start_camera()

    page.wait_for_text("hints", hint)


def test_it_says_nothing_while_all_is_well(page):
    page.open()
    page.start_camera()
    page.record()

    assert page.text("hints") == ""


def test_it_says_that_the_light_is_poor(page):
    page.before(
        "navigator.mediaDevices.getUserMedia = async () => { const c = document.createElement('canvas');"
        " const b = c.getContext('2d'); setInterval(() => b.fillRect(0, 0, 300, 150), 30);"
        " return c.captureStream(30); };"
    )
    page.open()
    page.start_camera()

    page.wait_for_text("hints", "The light is poor")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "may not use the camera"),
        ("NotFoundError", "no camera"),
        ("NotReadableError", "in use"),
    ],
)
def test_a_camera_that_cannot_be_had_is_explained(page, name, words):
    page.before(
        f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', {name!r}); }};"
    )
    page.open()
    page.click("camera")

    page.wait_for_text("trouble-text", words)
    assert page.text("camera") == "Start camera"


def test_a_refused_camera_is_explained_in_a_browser_that_asks(tmp_path):
    fake = Fake()
    running = Running(make_app(fake))
    fake.address = running.address
    flags = (*SOFTWARE_GL, CAMERA[0], "--deny-permission-prompts")
    browser = Browser(tmp_path / "profile", *flags)
    page = Page(browser, fake, tmp_path)
    page.open()
    page.click("camera")

    page.wait_for_text("trouble-text", "Allow it in the site's settings")
    browser.close()
    running.stop()


def test_a_camera_that_is_pulled_out_is_noticed(page):
    page.open()
    page.start_camera()
    page.browser.run("video.srcObject.getTracks()[0].stop()")

    page.wait_for_text("trouble-text", "disconnected")


def test_a_rotated_phone_ends_the_recording_and_the_canvas_follows(page):
    page.browser.send(
        "Emulation.setDeviceMetricsOverride", **TALL, deviceScaleFactor=2, mobile=True
    )
    page.open()
    page.start_camera()
    page.browser.press(" ")
    page.wait_for_text("partial", "reads")

    page.browser.send(
        "Emulation.setDeviceMetricsOverride", **WIDE, deviceScaleFactor=2, mobile=True
    )
    page.browser.run("video.srcObject.getTracks()[0].applyConstraints({ width: 360, height: 480 })")

    page.wait_for_text("text", page.fake.text)
    page.wait_for_text("trouble-text", "The picture turned")
    page.browser.wait_for("canvas.width === 360 && canvas.height === 480")
    assert page.browser.run("document.documentElement.scrollWidth") <= WIDE["width"]


# -------------------------------------------------------------------------------------- browsers


@pytest.mark.parametrize("lacking", ["WebAssembly", "OffscreenCanvas"])
def test_a_browser_that_cannot_find_landmarks_is_told_so(page, lacking):
    page.before(f"delete window.{lacking};")
    page.open()
    page.click("camera")

    page.wait_for_text("trouble-text", f"lacks {'WebGL' if lacking != 'WebAssembly' else lacking}")


def test_mediapipe_itself_runs_under_the_servers_policy(page):
    page.fake.real_mediapipe = True
    page.open()
    page.click("camera")

    page.wait_for_text("hints", "Nobody is in view", seconds=60)
    assert [error for error in page.browser.errors if '"level": "error"' in error] == []
    assert page.text("slow") == ""
    assert "/mediapipe/holistic_solution_simd_wasm_bin.wasm" in page.fake.asked


@pytest.mark.skipif(platform.machine() != "x86_64", reason="SIMD is turned off by an x86 flag")
def test_in_a_browser_without_simd_it_works_and_says_that_it_is_slow(tmp_path):
    write_y4m(tmp_path / "camera.y4m")
    fake = Fake(real_mediapipe=True)
    running = Running(make_app(fake))
    fake.address = running.address
    video = f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}"
    flags = (*SOFTWARE_GL, *CAMERA, video, "--js-flags=--no-enable-sse4-1")
    browser = Browser(tmp_path / "profile", *flags)
    page = Page(browser, fake, tmp_path)
    page.open()
    assert "without fast WebAssembly" in page.text("slow")
    page.click("camera")

    page.wait_for_text("hints", "Nobody is in view", seconds=60)
    assert "/mediapipe/holistic_solution_wasm_bin.wasm" in fake.asked
    browser.close()
    running.stop()


# ------------------------------------------------------------------------------------- how it looks


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core isn't installed: npm ci --prefix web")
@pytest.mark.parametrize(
    "look", [{}, {"prefers_color_scheme": "dark"}, {"forced_colors": "active"}]
)
def test_axe_finds_nothing_at_any_stage(page, look):
    page.fake.is_demo, page.fake.languages = True, ("en", "ar")
    page.browser.emulate(**look)
    page.open()
    found = page.accessibility_faults(AXE)
    page.start_camera()
    page.record()
    found += page.accessibility_faults(AXE)
    page.click_button("Replay", "#history")
    page.fake.refusals = [(422, {}, "No shoulders were found.")]
    page.fake.socket_works = False
    page.browser.press("Escape")
    page.click("record")
    page.wait_for_text("mark", "1 s")
    found += page.accessibility_faults(AXE)
    page.click("record")
    page.wait_for_text("trouble-text", "No shoulders")
    found += page.accessibility_faults(AXE)

    assert not found, "\n".join(found)


@pytest.mark.parametrize("size", [TALL, WIDE, {"width": 320, "height": 568}])
def test_nothing_is_cut_off_on_a_phone_even_in_large_type(page, size):
    page.fake.is_demo, page.fake.languages = True, ("en", "ar")
    page.browser.send(
        "Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=2, mobile=True
    )
    page.open()
    page.browser.run("document.documentElement.style.fontSize = '200%'")
    page.start_camera()
    page.record()

    # Not innerWidth, which grows with what sticks out.
    assert page.browser.run("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.parametrize("size", [TALL, WIDE])
def test_on_a_phone_the_growing_translation_is_in_view(page, size):
    page.fake.is_demo, page.fake.languages = True, ("en", "ar")
    page.browser.send(
        "Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=2, mobile=True
    )
    page.open()
    page.start_camera()
    bottom = "document.getElementById(%r).getBoundingClientRect().bottom"
    page.browser.press(" ")
    page.wait_for_text("partial", "woman")
    assert page.browser.run(bottom % "partial") <= size["height"]
    page.browser.press(" ")
    page.wait_for_text("text", page.fake.text)
    assert page.browser.run(bottom % "text") <= size["height"]


def test_with_reduced_motion_a_replay_waits(page):
    page.browser.emulate(prefers_reduced_motion="reduce")
    page.open()
    page.start_camera()
    page.record()
    page.click_button("Replay", "#history")

    assert page.text("play") == "Play"
    assert page.browser.run("document.getElementById('position').value") == "0"


def test_arabic_runs_from_right_to_left(page):
    page.fake.text = "المرأة تقرأ كتابا"
    page.open()
    page.start_camera()
    page.record()

    assert page.browser.run("getComputedStyle(document.getElementById('text')).direction") == "rtl"
    assert page.browser.run("getComputedStyle(document.documentElement).direction") == "ltr"
