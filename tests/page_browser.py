"""The page of `signseq serve` in a browser, and what somebody does with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from browser import CHROMIUM, Browser
from page_service import Fake, Running, make_app
from signseq.serving.pages import WEB

NEEDS_PAGE = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(
        not (WEB / "index.html").is_file(), reason="`make page` hasn't built the page"
    ),
]
SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@contextmanager
def open_page(folder: Path, *, camera: bool) -> Iterator[Page]:
    """The page of a service that stands in for a real one, in a browser with or without a camera."""
    flags = list(SOFTWARE_GL)
    if camera:
        write_y4m(folder / "camera.y4m")
        flags += [*CAMERA, f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}"]
    fake = Fake()
    running = Running(make_app(fake))
    fake.address = running.address
    browser = Browser(folder / "profile", *flags)
    (folder / "downloads").mkdir()
    yield Page(browser, fake, folder / "downloads")
    browser.close()
    running.stop()


class Page:
    """The page in a browser, and what somebody does with it."""

    def __init__(self, browser: Browser, fake: Fake, downloads: Path) -> None:
        self.browser, self.fake, self.downloads = browser, fake, downloads
        browser.send("Emulation.setFocusEmulationEnabled", enabled=True)
        browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self._scripts: list[str] = []

    def reset(self) -> None:
        """As it was before the last test."""
        self.fake.reset()
        self.browser.emulate()
        self.browser.send("Emulation.clearDeviceMetricsOverride")
        self.browser.send("Browser.resetPermissions")
        for identifier in self._scripts:
            self.browser.send("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)
        self._scripts.clear()
        for file in self.downloads.iterdir():
            file.unlink()
        self.browser.errors.clear()
        self.browser.requests.clear()

    def before(self, script: str) -> None:
        """What runs before the page's own scripts."""
        found = self.browser.send("Page.addScriptToEvaluateOnNewDocument", source=script)
        self._scripts.append(found["identifier"])

    def open(self) -> None:
        self.browser.visit(self.fake.address)
        self.browser.wait_for(
            "document.getElementById('version').textContent || !document.getElementById('key-form').hidden"
        )

    def text(self, name: str) -> str:
        """What an element shows; empty where it is hidden."""
        return str(
            self.browser.run(
                f"(() => {{ const e = document.getElementById({name!r});"
                " return e.checkVisibility() ? e.textContent.trim() : ''; })()"
            )
        )

    def wait_for_text(self, name: str, words: str, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while words not in self.text(name):
            assert time.monotonic() < end, (
                f"#{name} says {self.text(name)!r}; trouble: {self.text('trouble-text')!r}"
            )
            time.sleep(0.05)

    def click(self, name: str) -> None:
        self.browser.run(f"document.getElementById({name!r}).click()")

    def click_button(self, text: str, inside: str = "body") -> None:
        """The first button with this text."""
        self.browser.run(
            f"[...document.querySelectorAll({inside!r} + ' button')]"
            f".find((b) => b.textContent.trim() === {text!r}).click()"
        )

    def start_camera(self) -> None:
        self.click("camera")
        self.browser.wait_for("document.getElementById('stage').dataset.shows === 'camera'", 20)

    def record(self, frames: int = 20) -> None:
        """From space bar to space bar; waits for the translation."""
        self.browser.press(" ")
        self.browser.wait_for("document.body.classList.contains('recording')")
        self.browser.wait_for(
            f"(document.getElementById('partial').textContent.match(/ /g) ?? []).length >= {1 + frames // 8}",
            20,
        )
        self.browser.press(" ")
        self.wait_for_text("text", self.fake.text)

    def choose(self, path: Path) -> None:
        """A file, by the field."""
        document = self.browser.send("DOM.getDocument")
        field = self.browser.send(
            "DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#file"
        )
        self.browser.send("DOM.setFileInputFiles", files=[str(path)], nodeId=field["nodeId"])

    def drop(self, path: Path) -> None:
        """A file, dragged onto the stage."""
        x, y = self.browser.run(
            "(() => { const r = document.getElementById('stage').getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.browser.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def downloaded(self, suffix: str) -> Path:
        """The file that was saved last."""
        for _ in range(100):
            self.browser.run("1")
            # An empty one was only begun.
            found = [f for f in self.downloads.iterdir() if f.suffix == suffix and f.stat().st_size]
            if found:
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no {suffix} was saved")

    def accessibility_faults(self, axe: Path) -> list[str]:
        """What axe-core finds, as rule: place."""
        self.browser.run(axe.read_text() + "; 0")
        found = self.browser.run(
            "axe.run(document).then((r) => r.violations.flatMap((v) =>"
            " v.nodes.map((n) => `${v.id}: ${n.target} ${n.failureSummary}`)))"
        )
        return list(found)


def write_y4m(path: Path, *, frames: int = 30, size: tuple[int, int] = (640, 480)) -> None:
    """A video that Chromium takes for a camera: a bright bar that moves over grey."""
    width, height = size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420mpeg2\n".encode())
        for number in range(frames):
            picture = np.full((height, width), 120, np.uint8)
            picture[:, number * 10 : number * 10 + 60] = 200
            file.write(b"FRAME\n" + picture.tobytes() + bytes([128]) * (width * height // 2))
