"""A headless Chromium that is driven over its DevTools protocol, as a reader would use it."""

import base64
import json
import shutil
import subprocess
import time
from itertools import count
from pathlib import Path
from urllib.request import urlopen

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Virtual key codes of keys that are no characters.
KEYS = {"Enter": 13, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}


def find_chromium():
    """Return the path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a browser of its own, which ends with the ``with`` block."""

    def __init__(self, profile, *, size=(1280, 800)):
        self.profile, self.size = Path(profile), size

    def __enter__(self):
        import websocket

        self.process = subprocess.Popen(
            [
                find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={self.profile}",
                "--no-first-run", "--disable-background-networking", "--disable-component-update", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = self._wait(lambda: (self.profile / "DevToolsActivePort").read_text().split()[0])
        targets = self._wait(lambda: json.load(urlopen(f"http://127.0.0.1:{port}/json")))
        (target,) = [item for item in targets if item["type"] == "page"]
        self.socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=60)
        self.numbers = count(1)
        self.send("Page.enable")
        self.resize(*self.size)
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)

    def send(self, method, **parameters):
        """Send a command and return its result."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def resize(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, address):
        self.send("Page.navigate", url=address)

    def value(self, expression):
        """Return what a JavaScript expression is in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression, seconds=30):
        """Wait until a JavaScript expression is true, and return its value."""
        return self._wait(lambda: self.value(expression) or None, seconds, expression)

    def press(self, key, times=1):
        """Press a key as a person does."""
        code = {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {"text": key}
        if key == "Enter":
            code["text"] = "\r"
        for _ in range(times):
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **code)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key, **{**code, "text": ""})

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    @staticmethod
    def _wait(attempt, seconds=30, what="the browser"):
        until = time.monotonic() + seconds
        while True:
            try:
                if (found := attempt()) is not None:
                    return found
            except (OSError, IndexError):
                pass
            assert time.monotonic() < until, f"waited {seconds} s for {what}"
            time.sleep(0.05)
