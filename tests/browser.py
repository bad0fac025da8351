"""Opens a page in Chromium, as a program of its own, and says what it found: see `look`.

Qt's WebEngine carries the browser; nothing of it is needed to use caffe_lite.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _has_browser() -> bool:
    try:
        return importlib.util.find_spec("PySide6.QtWebEngineWidgets") is not None
    except ModuleNotFoundError:
        return False


needs_browser = pytest.mark.skipif(
    not _has_browser(), reason="PySide6-WebEngine, which carries Chromium, is not installed"
)

MEASURE = """
(() => {
  const result = %s;
  const root = document.documentElement;
  const texts = [...document.querySelectorAll('svg.chart text')];
  return JSON.stringify({
    width: innerWidth,
    needed: root.scrollWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    smallest: Math.min(...texts.map(t => t.getBoundingClientRect().height)),
    result,
  });
})()
"""


def look(
    page: Path,
    width: int,
    dark: bool,
    expression: str = "null",
    picture: Path | None = None,
    seconds: float = 0.5,
    height: int = 900,
    fragment: str = "",
) -> dict[str, Any]:
    """Open a page at a width, in light or dark; what `MEASURE` finds, and what went wrong.

    `expression` is evaluated in the page `seconds` after it was loaded.  "requests" are the
    addresses that the page asked for, "messages" what the browser complained of.
    """
    job = {
        "page": str(page.resolve()),
        "fragment": fragment,
        "width": width,
        "height": height,
        "script": MEASURE % expression,
        "picture": picture and str(picture),
        "wait": seconds,
    }
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "QTWEBENGINE_DISABLE_SANDBOX": "1",
        "QTWEBENGINE_CHROMIUM_FLAGS": "--disable-gpu "
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
    }
    command = [sys.executable, __file__, json.dumps(job)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    if "ImportError" in done.stderr:
        pytest.skip(f"Qt cannot start here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def main(job: dict[str, Any]) -> None:
    from PySide6.QtCore import QTimer, QUrl
    from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
    from PySide6.QtWebEngineWidgets import QWebEngineView
    from PySide6.QtWidgets import QApplication

    requests, messages = [], []

    class Interceptor(QWebEngineUrlRequestInterceptor):
        def interceptRequest(self, info):
            requests.append(info.requestUrl().toString())

    class Page(QWebEnginePage):
        def javaScriptConsoleMessage(self, level, text, line, source):
            messages.append(text)

    app = QApplication([])
    view = QWebEngineView()
    page = Page(view)
    interceptor = Interceptor()
    page.setUrlRequestInterceptor(interceptor)
    view.setPage(page)
    view.resize(job["width"], job["height"])
    view.show()

    def finish(found):
        if job["picture"]:
            view.grab().save(job["picture"])
        found = {**json.loads(found), "requests": requests, "messages": messages}
        sys.stdout.write(f"{json.dumps(found)}\n")
        app.quit()

    def measure():
        page.runJavaScript(job["script"], finish)

    address = QUrl.fromLocalFile(job["page"])
    if job["fragment"]:
        address.setFragment(job["fragment"])
    page.load(address)
    waits = []

    def loaded():
        if not waits:  # only for the first time: a page may load itself again
            waits.append(QTimer.singleShot(int(1000 * job["wait"]), measure))

    page.loadFinished.connect(loaded)
    QTimer.singleShot(90_000, lambda: app.exit(1))
    sys.exit(app.exec())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
