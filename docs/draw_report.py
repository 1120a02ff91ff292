"""Take a picture of a report's clips in headless Chromium; for the README.

signseq report checkpoints/demo --out report.html
python docs/draw_report.py report.html docs/report.png [WORD]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import Browser

CLIPS = 2
WIDTH, HEIGHT = 1000, 900


def main() -> None:
    page, target, *word = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        draw(browser, Path(page), Path(target), word=word[0] if word else "")
        browser.close()


def draw(browser: Browser, page: Path, target: Path, *, word: str) -> None:
    """The first clips, those that the model does worst on, with a word of an output pointed at."""
    browser.send("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.send(
        "Emulation.setDeviceMetricsOverride",
        width=WIDTH,
        height=HEIGHT,
        deviceScaleFactor=1,
        mobile=False,
    )
    browser.send("Emulation.setScrollbarsHidden", hidden=True)
    browser.open(page)
    browser.wait_for(f"[...players].slice(0, {CLIPS}).every((player) => player.bytes)")
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.run(
        "(() => { const all = [...document.querySelectorAll('button.word')];"
        f" const word = all.find((each) => each.textContent === {word!r}) ?? all[0];"
        " word.click(); word.focus(); })()"
    )
    browser.picture(target, of=f".clip:nth-child(-n+{CLIPS})")


if __name__ == "__main__":
    main()
