"""The page of signseq view in a real browser: headless Chromium, where there is one."""

from __future__ import annotations

import pytest

from browser import CHROMIUM, Browser
from conftest import make_pose
from signseq.poses.keypoints import get_keypoint_set
from signseq.poses.sequence import write_pose
from signseq.viewing.run import view

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    names = get_keypoint_set("upper_body_hands_face").keypoints
    write_pose(folder / "hands.pose", make_pose(frames=50))
    write_pose(folder / "face.pose", make_pose(frames=50, keypoints=names))
    view([folder], out=folder / "page.html")
    found = Browser(tmp_path_factory.mktemp("browser"))
    found.send("Emulation.setFocusEmulationEnabled", enabled=True)
    found.open(folder / "page.html")
    found.wait_for("[...players].every((player) => player.bytes)")
    yield found
    found.close()


def inked(browser, card: int) -> int:
    return browser.run(
        f"(() => {{ const c = document.querySelectorAll('canvas')[{card}];"
        " return c.getContext('2d').getImageData(0, 0, 480, 480).data.filter((v, i) => i % 4 === 3 && v).length })()"
    )


def test_each_clip_is_drawn_with_its_own_skeleton_and_nothing_goes_wrong(browser):
    assert browser.run("document.querySelectorAll('.clip').length") == 2
    assert browser.run("data.skeletons.length") == 2
    assert inked(browser, 0) > 500
    assert inked(browser, 1) > 500
    assert browser.errors == []
    assert not [address for address in browser.requests if not address.startswith("file:")]


def test_the_space_bar_plays_what_has_the_focus(browser):
    browser.run("document.querySelectorAll('.play')[1].focus()")
    before = browser.run("[...players][1].seconds")
    browser.press(" ")
    browser.wait_for(f"[...players][1].seconds !== {before}")
    assert browser.run("[...players].map((player) => player.playing)") == [False, True]
    browser.press(" ")
    assert browser.run("document.querySelectorAll('.play')[1].textContent") == "Play"


def test_a_search_leaves_what_it_finds(browser):
    browser.run("byId('find').value = 'FACE'; byId('find').dispatchEvent(new Event('input'))")
    browser.wait_for("document.querySelectorAll('.clip').length === 1")
    assert browser.run("byId('count').textContent") == "1 of 2 clips"
