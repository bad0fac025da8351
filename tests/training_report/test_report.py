from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from caffe_lite.errors import CaffeError, SolverError
from caffe_lite.solver import Monitor
from caffe_lite.solver.signals import Action
from caffe_lite.training_report import Report, report
from caffe_lite.training_report.page import duration
from caffe_lite.training_report.recording import Recording, labels
from tests.browser import look, needs_browser
from tests.training_report.conftest import NET


class Page(HTMLParser):
    """The elements and texts of a page, and what a script of somebody else's would need."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers, self.addresses, self.texts, self.ids = [], [], [], [], []
        self.root = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name.startswith("on"):
                self.handlers.append((tag, name))
            if name in ("src", "href", "action", "data", "srcset") and value:
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
        if tag == "html":
            self.root = dict(attributes)

    def handle_data(self, data):
        self.texts.append(data)


def read(path="run.html"):
    return Page(Path(path).read_text(encoding="utf-8"))


def said(page):
    return " ".join(" ".join(page.texts).split())


@pytest.fixture
def often(monkeypatch):
    """Pages are renewed in each iteration."""
    monkeypatch.setattr(report, "INTERVAL", 0.0)
    monkeypatch.setattr(report, "SHARE", 1e9)


def run(solver, path="run.html"):
    with Report(solver, path) as shown:
        solver.net.share_memory()
        for net in solver.test_nets:
            net.share_memory(backward=False, keep=shown.keep)
        solver.solve()
    return shown


def test_a_finished_run(make, often):
    run(make())
    page = read()
    text = said(page)
    assert "small <net>: finished" in text
    assert "finished iteration 6 of 6, after" in text
    assert page.root.keys() == {"lang", "data-renewed"}
    assert page.tags.count("svg") > 6
    assert page.tags.count("script") == 1
    for words in (
        "Of the last test,",
        "of 6 images were answered wrongly",
        '5 of 5 filters of "conv" (Convolution).',
        "best",
        "Test accuracy",
        "Images a second",
        'name: "small <net>"',
        "base_lr: 0.05",
        "3x5x4x4",
        "MB",
    ):
        assert words in text
    assert page.tags.count("img") == 1 + 6  # the filters, and each image of the test


def test_the_numbers_are_those_without_a_report(make, often, folder):
    def weights():
        return {path.name: path.read_bytes() for path in sorted(folder.glob("run_iter_*"))}

    solver = make("snapshot: 3")
    solver.net.share_memory()
    for net in solver.test_nets:
        net.share_memory(backward=False)
    solver.solve()
    without = weights()
    assert len(without) == 6
    for path in folder.glob("run_iter_*"):
        path.unlink()
    run(make("snapshot: 3"))
    assert weights() == without


def test_while_it_runs(make, often):
    seen = []
    solver = make()
    solver.add_callback(lambda: seen.append(Path("run.html").read_text()), lambda: None)
    run(solver)
    pages = [Page(text) for text in seen]
    assert [p.root.get("data-reload") for p in pages] == ["0"] * 6
    assert "There was no test yet" not in said(pages[-1])
    found = [re.search(r"running iteration (\d) of 6", said(page)) for page in pages]
    assert [int(match[1]) for match in found if match] == [0, 1, 2, 3, 4, 5]
    assert "about" in said(pages[-1])


def test_it_is_renewed_as_often_as_its_cost_allows(make, monkeypatch):
    written = []
    monkeypatch.setattr(report, "write_atomically", lambda path, write: written.append(path))
    run(make())
    assert len(written) == 3  # at the beginning, after the first iteration, and at the end


def test_a_loss_that_is_not_finite(make):
    solver = make("base_lr: 1e30")
    with pytest.raises(SolverError) as caught:
        run(solver)
    page = read()
    assert "failed iteration" in said(page)
    assert caught.value.message in said(page)
    assert "the first non-finite values are in" in said(page)
    assert "data-reload" not in page.root


def test_a_loss_that_is_not_finite_and_goes_on(make, often):
    run(make("base_lr: 1e30", continue_on_nan=True))
    assert re.search(r"not finite \d times, first in iteration [12]", said(read()))


def stop_after(solver, polls):
    asked = iter([*[Action.NONE] * polls, Action.STOP])
    solver.action = lambda: next(asked, Action.NONE)


def test_other_ends(make):
    solver = make()
    stop_after(solver, 5)
    run(solver)
    assert "stopped iteration" in said(read())
    assert "It was told to stop." in said(read())
    monitored = make("test_interval: 1", monitor=Monitor(early_stop=1, mode="max"))
    run(monitored)
    assert "Stopped early: test loss has not improved for 1 test; the best was" in said(read())
    for error, words in (
        (KeyboardInterrupt(), "It was interrupted."),
        (ZeroDivisionError("<b>"), "ZeroDivisionError: <b>"),
    ):
        solver = make()

        def fail(error=error):
            raise error

        solver.add_callback(lambda: None, fail)
        with pytest.raises(type(error)):
            run(solver)
        assert words in said(read())


def test_a_solver_can_train_again_without_it(make):
    solver = make()
    run(solver)
    before = Path("run.html").read_bytes()
    solver.step(2)
    assert Path("run.html").read_bytes() == before


def test_files_that_cannot_be_written(make, often, folder, caplog):
    with pytest.raises(CaffeError, match="there is no folder"):
        Report(make(), "absent/run.html")
    solver = make()
    shown = Report(solver, "run.html")
    Path("run.html").unlink()
    Path("run.html").mkdir()
    with shown:
        solver.solve()
    assert solver.iter == 6
    assert caplog.text.count("run.html: cannot be written") == 1


EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


def test_names_are_texts(make, often):
    evil = EVIL.replace('"', '\\"')
    net = NET.replace("small <net>", evil).replace('"conv"', f'"{evil}"')
    net = net.replace('top: "accuracy"', f'top: "{evil}\'"')
    run(make(net=net))
    page = read()
    assert page.tags.count("script") == 1
    assert page.handlers == []
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert said(page).count(EVIL) > 8
    assert len(set(page.ids)) == len(page.ids)


def test_nothing_outside_of_the_page_is_named(make):
    run(make())
    text = Path("run.html").read_text(encoding="utf-8")
    assert set(re.findall(r"\w+://[^\s\"'<>]+", text)) == {"http://www.w3.org/2000/svg"}


BARE = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def test_a_net_without_images(make, often):
    run(make(net=BARE))
    text = said(read())
    assert "Left out: The test net has no SoftmaxWithLoss or Accuracy" in text
    assert '"ip" (InnerProduct), has none that are pictures' in text
    assert "Net: finished" in text
    assert "Items a second" in text


def test_a_solver_without_tests(make, folder, often):
    solver = make()
    solver.close()
    text = Path("solver.prototxt").read_text().replace("test_iter: 2 test_interval: 2", "")
    Path("solver.prototxt").write_text(text)
    from caffe_lite.solver import get_solver

    with get_solver("solver.prototxt") as untested:
        run(untested)
    assert "Left out: There is no test net." in said(read())


def test_speed_is_items_by_time(make, monkeypatch):
    now = iter([0.0, 20.0, 22.0, 30.0, 31.0])
    clock = SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr("caffe_lite.training_report.recording.time", clock)
    noted = Recording(make("iter_size: 2"))
    assert noted.items == 6
    for iteration in range(3):
        noted.iteration_started(iteration)
        noted.iteration_ended(iteration, 1.0, 0.1)
    noted.note_costs(3)
    assert [point.y for point in noted.speed.points] == [2 * 6 / 3]  # without the first


def test_outputs_of_several_values_have_numbers():
    from caffe_lite.solver.report import Output

    outputs = [Output(name, 0.0, 0.0) for name in ("a", "b", "a")]
    assert labels(outputs) == ["a[0]", "b", "a[1]"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (187, "3 min 7 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


# -- in a browser --------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(make, often, width, dark, folder):
    """It fits the width, heeds the scheme, can be read, and asks for nothing but itself."""
    evil = EVIL.replace('"', '\\"')
    run(make(net=NET.replace('"conv"', f'"{evil}"')))
    contrasts = """(() => {
      const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ground = each => { for (let e = each; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (!c.startsWith('rgba')) return c; } return 'rgb(255, 255, 255)'; };
      const found = [];
      for (const each of document.querySelectorAll('details')) each.open = true;
      for (const each of document.querySelectorAll('main :not(.net *):not(script)')) {
        if (![...each.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
        if (!each.getClientRects().length) continue;
        const style = getComputedStyle(each);
        const ink = each instanceof SVGElement ? style.fill : style.color;
        const [a, b] = [light(ink), light(ground(each))].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), each.tagName, each.textContent.slice(0, 30)]);
      }
      found.sort((x, y) => x[0] - y[0]);
      return { count: found.length, least: found[0], alert: document.title };
    })()"""
    found = look(Path("run.html"), width, dark, contrasts)
    assert found["width"] == width
    assert found["needed"] <= width
    levels = [int(level) for level in re.findall(r"\d+", found["ground"])]
    assert (max(levels) < 80) == dark
    assert found["smallest"] >= 10
    assert found["messages"] == []
    addresses = [url for url in found["requests"] if not url.startswith("data:image/png")]
    assert addresses == [Path("run.html").resolve().as_uri()]
    assert found["result"]["count"] > 60
    assert found["result"]["least"][0] >= 4.5, found["result"]["least"]


@needs_browser
def test_a_browser_reloads_while_the_run_goes_on(make, often):
    solver = make()
    seen = []
    solver.add_callback(lambda: seen.append(Path("run.html").read_text()), lambda: None)
    run(solver)
    running, ended = seen[-1].replace('data-reload="0"', 'data-reload="1"'), Path("run.html")
    Path("live.html").write_text(running)
    found = look(
        Path("live.html"), 800, False, "document.getElementById('age').textContent", seconds=4
    )
    pages = [url for url in found["requests"] if url.endswith("live.html")]
    assert len(pages) >= 2
    assert found["result"].endswith("ago")
    assert found["messages"] == []
    found = look(ended, 800, False, seconds=3)
    assert len([url for url in found["requests"] if url.endswith("run.html")]) == 1
    old = re.sub(r'data-renewed="\d+"', 'data-renewed="1000"', seen[-1])
    Path("old.html").write_text(old.replace('data-reload="0"', 'data-reload="60"'))
    found = look(Path("old.html"), 800, False, "!document.getElementById('stale').hidden")
    assert found["result"] is True
