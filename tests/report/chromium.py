"""A headless Chromium driven by its DevTools protocol over a pipe: no package beside the standard library."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run")
EVENTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.requestWillBeSent")


class Chromium:
    """One page; `complaints` and `requests` are what it has said and asked for since it was opened."""

    def __init__(self, process: subprocess.Popen[bytes], send: int, receive: int) -> None:
        self._process, self._send, self._receive = process, send, receive
        self._numbers, self._rest, self._session = itertools.count(1), b"", ""
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def _read(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receive], [], [], max(until - time.monotonic(), 0))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            part = os.read(self._receive, 1 << 16)
            if not part:
                raise RuntimeError(f"Chromium has ended with {self._process.wait(10)}")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, message: dict[str, Any]) -> None:
        name, what = message.get("method"), message.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif name in EVENTS:
            self.complaints.append(json.dumps(what)[:400])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events on the way are noted."""
        number, until = next(self._numbers), time.monotonic() + 60
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._send, json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0")
        while True:
            message = self._read(until)
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def attach(self) -> None:
        """Open a page and listen to all that it says."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(
        self, path: Path, fragment: str = "", *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True
    ) -> float:
        """Load a page from a file and wait until it is drawn; return the seconds to the first paint."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        wanted = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=f"file://{path}{fragment}")
        if not script:
            time.sleep(0.5)
            return 0.0
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.run("document.readyState") == "complete" and (found := self.run(paint)) is not None:
                return found / 1000
            time.sleep(0.02)
        raise TimeoutError(f"{path} is not painted")

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; an exception in it fails."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def mouse(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the pointer, and click where asked."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def point(self, selector: str, index: int = 0) -> tuple[float, float]:
        """Scroll to an element and return its middle."""
        found = self.run(
            f"(() => {{ const e = document.querySelectorAll({selector!r})[{index}];"
            " e.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return found[0], found[1]

    def click(self, selector: str, index: int = 0) -> None:
        """Click an element with the mouse."""
        self.mouse(*self.point(selector, index), click=True)

    def choose(self, selector: str, value: str) -> None:
        """Choose from a menu."""
        change = "e.dispatchEvent(new Event('change', {bubbles: true}))"
        self.run(f"(() => {{ const e = document.querySelector({selector!r}); e.value = {value!r}; {change}; }})()")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextlib.contextmanager
def chromium() -> Iterator[Chromium]:
    """Give a browser and end it."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory() as profile:

        def place() -> None:
            """Chromium reads commands from descriptor 3 and writes to 4."""
            read, write = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(read, 3)
            os.dup2(write, 4)
            os.set_inheritable(3, True)  # dup2 of 3 to 3 leaves it closed behind exec: matplotlib frees 3 and 4 after a fork
            os.set_inheritable(4, True)

        command = [str(PROGRAM), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command, preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            browser = Chromium(process, ours_out, ours_in)
            browser.attach()
            yield browser
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(ours_out)
            os.close(ours_in)
