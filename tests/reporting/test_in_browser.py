"""The report in a real browser: headless Chromium, where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from browser import CHROMIUM, Browser
from signseq.metrics import score
from signseq.poses.drawing import DrawnPose
from signseq.poses.keypoints import find_parts, get_keypoint_set, skeleton_edges
from signseq.predictions import Predictions
from signseq.reporting.clips import Clips, Output, ReportClip
from signseq.reporting.looking import Look, WordAttention
from signseq.reporting.page import Report, write_html
from signseq.reporting.run import report
from signseq.reporting.runs import Run
from signseq.reporting.words import find_difference

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
KEYPOINTS = get_keypoint_set("upper_body_hands_face").keypoints
COUNT = 500
CARD = "document.querySelector('.clip')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("browser"))
    found.send("Emulation.setFocusEmulationEnabled", enabled=True)
    yield found
    found.close()


def make_clip(number: int) -> ReportClip:
    """Ten seconds at 25 frames per second, as restless as hands are, and 15 words."""
    rng = np.random.default_rng(number)
    points = 500 + np.cumsum(rng.normal(scale=4, size=(250, len(KEYPOINTS), 2)), axis=0)
    pose = DrawnPose(
        points.clip(0, 1000).astype(np.uint16),
        skeleton_edges(KEYPOINTS),
        find_parts(KEYPOINTS).left_hand + find_parts(KEYPOINTS).right_hand,
        25.0,
    )
    reference = " ".join(f"word{n}" for n in rng.integers(100, size=15)) + f" end{number}."
    if number == 0:
        reference = "نحن نأكل الخبز"
    words = reference.split()
    text = " ".join([*words[:-1], "wrong"])
    weights = np.zeros((len(words), 48), np.uint8)
    weights[np.arange(len(words)), 3 * np.arange(len(words))] = 255
    weights += rng.integers(20, size=weights.shape, dtype=np.uint8) * (weights == 0)
    look = Look(
        ((text, -0.1), (reference, -0.2), ("<b>no</b>", -0.3)), WordAttention(weights, 10.0)
    )
    output = Output(find_difference(reference, text), text, float(number % 101), look)
    return ReportClip(f"clip-{number}", reference, (output,), pose)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    clips = [make_clip(number) for number in range(COUNT)]
    texts = [clip.outputs[0].text for clip in clips]
    references = [clip.reference for clip in clips]
    predictions = Predictions("run", [clip.uid for clip in clips], references, texts)
    scores = score(texts, references).as_dict() | {"warnings": ["Mind <this>."]}
    log = [{"step": step, "loss": 1 / (1 + step), "eval_chrf": step} for step in range(20)]
    run = Run("run", None, predictions, scores, log, None)
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(Report([run], "test", Clips(clips, COUNT, []), None), path)
    return path


@pytest.fixture
def opened(browser, page):
    browser.errors.clear()
    browser.requests.clear()
    browser.emulate(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    browser.open(page)
    browser.wait_for(f"{CARD} !== null")
    yield browser
    assert browser.errors == []
    assert browser.requests == [page.resolve().as_uri()]  # the page itself, and nothing else


def pixels_of(selector):
    """A script's expression for the colours of a canvas, read from a copy: Chromium warns of reading often."""
    return (
        f"(() => {{ const own = document.querySelector({selector!r}), copy = document.createElement('canvas');"
        " copy.width = own.width; copy.height = own.height;"
        " const context = copy.getContext('2d', { willReadFrequently: true }); context.drawImage(own, 0, 0);"
        " return context.getImageData(0, 0, copy.width, copy.height).data; })()"
    )


def drawn_pixels(browser, selector):
    return browser.run(
        f"{pixels_of(selector)}.reduce((sum, value, place) => sum + (place % 4 === 3 && value > 0), 0)"
    )


def test_five_hundred_clips_stay_below_five_megabytes(page):
    assert page.stat().st_size < 5_000_000


def test_the_skeleton_is_drawn_before_anything_is_clicked(opened):
    opened.wait_for("[...players][0].bytes !== undefined")
    assert drawn_pixels(opened, "canvas.pose") > 1000


def test_playing_goes_on_and_pausing_stops_it(opened):
    opened.wait_for("[...players][0].bytes !== undefined")
    place = f"Number({CARD}.querySelector('input[type=range]').value)"
    before = opened.run(place)
    opened.run(f"{CARD}.querySelector('.play').click()")
    assert opened.run(f"{CARD}.querySelector('.play').textContent") == "Pause"
    opened.wait_for(f"{place} > {before} + 0.3")

    opened.run(f"{CARD}.querySelector('.play').click()")
    stopped = opened.run(place)
    opened.run("new Promise((done) => setTimeout(done, 200))")
    assert opened.run(place) == stopped


def test_slow_is_a_quarter_of_the_speed(opened):
    script = (
        "(async () => {{ const p = [...players][0]; p.playing = true; p.slow = {slow}; p.seconds = 0;"
        " last = 0; ticking = false; players.forEach((q) => {{ q.playing = q === p; }});"
        " tick(400); const s = p.seconds; p.playing = false; return s; }})()"
    )
    fast, slow = (opened.run(script.format(slow=each)) for each in ("false", "true"))
    assert fast == pytest.approx(0.4)
    assert slow == pytest.approx(0.1)


def test_scrubbing_moves_the_skeleton(opened):
    opened.wait_for("[...players][0].bytes !== undefined")
    picture = f"{CARD}.querySelector('canvas.pose').toDataURL()"
    before = opened.run(picture)
    opened.run(
        f"(() => {{ const s = {CARD}.querySelector('input[type=range]'); s.value = '9';"
        " s.dispatchEvent(new Event('input')); })()"
    )
    assert opened.run(picture) != before
    assert "9.0 of 10.0 seconds" in opened.run(
        f"{CARD}.querySelector('input[type=range]').getAttribute('aria-valuetext')"
    )


def test_hovering_a_word_shows_its_frames(opened):
    assert drawn_pixels(opened, ".heat") == 0
    opened.hover("button.word:nth-of-type(2)")
    opened.wait_for("document.querySelector('button.word.on') !== null")

    strongest = opened.run(
        f"(() => {{ const p = {pixels_of('.heat')}, width = 480; let best = 0;"
        " for (let x = 0; x < width; x++) if (p[4 * x + 3] > p[4 * best + 3]) best = x;"
        " return best / width; })()"
    )
    assert strongest == pytest.approx(3 / 48, abs=0.02)  # where the second word's weight is


def test_the_keyboard_goes_from_word_to_word_and_to_its_frames(opened):
    opened.run("document.querySelectorAll('.clip')[1].querySelector('button.word').focus()")
    opened.press("ArrowRight")
    assert opened.run("document.activeElement.textContent") == opened.run(
        "document.querySelectorAll('.clip')[1].querySelectorAll('button.word')[1].textContent"
    )
    assert "attends most to 0.6 to 0.8 seconds" in opened.run(
        "document.activeElement.getAttribute('aria-label')"
    )
    opened.press(" ")
    assert opened.run("[...players][1].seconds") == pytest.approx(10 * 3.5 / 48)
    # one stop for Tab in the whole sentence
    assert (
        opened.run(
            "document.querySelectorAll('.clip')[1].querySelectorAll('button.word[tabindex=\"0\"]').length"
        )
        == 1
    )


def test_filters_keep_what_fits(opened):
    opened.run(
        "(() => { const f = document.getElementById('find'); f.value = 'END137.';"
        " f.dispatchEvent(new Event('input')); })()"
    )
    opened.wait_for("document.getElementById('count').textContent === '1 of 500 clips'")
    assert opened.run("document.querySelector('.clip h3').textContent") == "clip-137"

    opened.run("document.getElementById('reset').click()")
    assert opened.run("document.getElementById('count').textContent") == "500 of 500 clips"

    opened.run(
        "(() => { const f = document.getElementById('least'); f.value = '100';"
        " f.dispatchEvent(new Event('input')); })()"
    )
    opened.wait_for("document.getElementById('count').textContent === '4 of 500 clips'")


def test_the_order_can_be_chosen(opened):
    told = "[...document.querySelectorAll('.clip')].map((card) => Number(card.textContent.match(/chrF ([0-9.]+)/)[1]))"
    assert opened.run(told) == sorted(opened.run(told))
    opened.run(
        "(() => { const o = document.getElementById('order'); o.value = '1';"
        " o.dispatchEvent(new Event('change')); })()"
    )
    found = opened.run(told)
    assert found[0] == 100
    assert found == sorted(found, reverse=True)


def test_more_clips_are_shown_when_asked_for(opened):
    assert opened.run("document.querySelectorAll('.clip').length") == 10
    opened.run("document.getElementById('more').click()")
    assert opened.run("document.querySelectorAll('.clip').length") == 20


def test_right_to_left_text_goes_from_right_to_left(opened):
    places = opened.run(
        "(() => { const f = [...document.querySelectorAll('.clip')].find((c) => c.textContent.includes('clip-0'));"
        " return [...f.querySelector('.words').children].map((word) => word.getBoundingClientRect().x); })()"
    )
    assert places == sorted(places, reverse=True)


def test_hostile_outputs_are_texts(opened):
    assert opened.run("document.querySelectorAll('ol b').length") == 0
    assert "<b>no</b>" in opened.run("document.querySelector('ol').textContent")
    assert "Mind <this>." in opened.run("document.querySelector('.warnings').textContent")


def test_every_button_and_field_has_a_name(opened):
    nameless = opened.run(
        "[...document.querySelectorAll('button, input, select, canvas')].filter((e) => !(e.textContent.trim()"
        " || e.getAttribute('aria-label') || (e.labels && e.labels.length) || e.ariaHidden === 'true')).length"
    )
    assert nameless == 0


def test_text_stands_out_in_light_and_dark(opened):
    contrast = (
        "(() => { const s = getComputedStyle(document.documentElement);"
        " const v = (n) => { const h = s.getPropertyValue(n).trim();"
        " return [1, 3, 5].map((i) => parseInt(h.slice(i, i + 2), 16) / 255).map((c) => c <= 0.04045 ? c / 12.92 :"
        " ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0); };"
        " return [['--ink', '--paper'], ['--soft', '--card'], ['--bad', '--badground'], ['--warn', '--warnground'],"
        " ['--paper', '--bar']].map(([a, b]) => { const [x, y] = [v(a), v(b)].sort((p, q) => q - p);"
        " return (x + 0.05) / (y + 0.05); }); })()"
    )
    for scheme in ("light", "dark"):
        opened.emulate(prefers_color_scheme=scheme)
        assert min(opened.run(contrast)) >= 4.5


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=False,
    )
    try:
        assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    finally:
        opened.send("Emulation.clearDeviceMetricsOverride")


def test_words_that_some_runs_lack_are_told_apart_from_those_that_all_lack(browser, page, tmp_path):
    reference, outputs = "we eat fresh bread", ("we eat bread", "we eat")
    clip = ReportClip(
        "clip",
        reference,
        tuple(Output(find_difference(reference, text), text, 50.0, None) for text in outputs),
        None,
    )
    runs = [
        Run(name, None, Predictions(name, ["clip"], [reference], [text]), {}, [], None)
        for name, text in zip(("one", "two"), outputs, strict=True)
    ]
    several = tmp_path / "several.html"
    write_html(Report(runs, "test", Clips([clip], 1, []), None), several)
    browser.errors.clear()

    browser.open(several)
    browser.wait_for(f"{CARD} !== null")

    marks = browser.run(
        f"[...{CARD}.querySelector('.words').children].map((each) => [each.className, each.title])"
    )
    assert marks == [
        ["", ""],
        ["", ""],
        ["differs missing", "missing in the output of one, two"],
        ["differs partly", "missing in the output of two"],
    ]
    assert browser.errors == []


def test_a_report_of_a_real_run_has_no_errors(browser, evaluated, tmp_path):
    other = Path(shutil.copytree(evaluated, tmp_path / "other"))
    page = report([evaluated, other], out=tmp_path / "report.html")
    browser.errors.clear()

    browser.open(page)
    browser.wait_for("players.size > 0 && [...players].every((player) => player.bytes)")

    assert drawn_pixels(browser, "canvas.pose") > 500
    assert browser.errors == []
