from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from caffe_lite.draw import draw_net, draw_net_to_file
from caffe_lite.proto import caffe_pb2
from tests.browser import look, needs_browser

EVIL = '</svg><script>alert(1)</script>"><img src=x onerror=alert(2)>'


def deep(count, name="chain"):
    """A chain of convolutions, each with a ReLU in place."""
    net = caffe_pb2.NetParameter(name=name)
    for index in range(count):
        layer = net.layer.add(name=f"conv{index}", type="Convolution")
        layer.bottom.append(f"blob{index}")
        layer.top.append(f"blob{index + 1}")
        layer.convolution_param.num_output = 3 + index
        layer.convolution_param.kernel_size.append(3)
        relu = net.layer.add(name=f"relu{index}", type="ReLU")
        relu.bottom.append(layer.top[0])
        relu.top.append(layer.top[0])
    return net


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


def test_a_page_has_the_picture_and_the_names(tmp_path):
    net = deep(40)
    draw_net_to_file(net, tmp_path / "n.html", "TB")
    page = (tmp_path / "n.html").read_text(encoding="utf-8")
    assert draw_net(net, "TB", "svg").decode() in page
    assert Tags(page).tags.count("option") == 40 + 40 + 41
    assert "80 layers" in page
    assert set(re.findall(r"\w+://[^\s\"'<>]+", page)) == {"http://www.w3.org/2000/svg"}


def test_names_are_texts():
    net = deep(2, EVIL)
    net.layer[0].name = net.layer[0].top[0] = net.layer[2].bottom[0] = EVIL
    found = Tags(draw_net(net, "TB", "html", shapes={EVIL: EVIL}).decode())
    assert found.tags.count("script") == 1
    assert found.tags.count("img") == 0
    assert found.handlers == []


SEARCH = """(() => {
  const input = document.getElementById('search'), count = document.getElementById('count');
  const view = document.getElementById('net').getBoundingClientRect();
  const key = (name, options) => input.dispatchEvent(
    new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true, ...options }));
  const current = () => document.querySelector('.current title')?.textContent;
  const seen = () => { const box = document.querySelector('.current').getBoundingClientRect();
    return box.top >= view.top && box.bottom <= view.bottom && box.left >= view.left
      && box.right <= view.right; };
  const ask = text => { input.value = text; input.dispatchEvent(new Event('input')); };
  const width = () => Number(document.querySelector('#net svg').getAttribute('width'));
  const result = [];
  ask('CONV17');
  result.push([count.textContent, current(), seen()]);
  ask('relu3');
  result.push([count.textContent, current(), seen()]);
  document.getElementById('next').click();
  result.push([count.textContent, current(), seen()]);
  document.getElementById('before').click(); document.getElementById('before').click();
  result.push([count.textContent, current(), seen()]);
  ask('convolution conv3 ');
  result.push([count.textContent, current(), seen()]);
  ask('nothing');
  result.push([count.textContent, current()]);
  key('Escape');
  result.push([count.textContent, document.querySelectorAll('.found').length]);
  const before = width();
  document.getElementById('in').click();
  result.push(Math.round(100 * width() / before));
  document.getElementById('whole').click();
  const box = document.querySelector('#net svg').getBoundingClientRect();
  result.push(box.height <= view.height && box.width <= view.width);
  document.getElementById('actual').click();
  result.push(width() === document.querySelector('#net svg').viewBox.baseVal.width);
  return result;
})()"""


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_in_a_browser(tmp_path, width, dark):
    """It finds layers, brings them into sight, zooms, and asks for nothing but itself."""
    path = Path(tmp_path / "n.html")
    draw_net_to_file(deep(40), path, "TB")
    found = look(path, width, dark, SEARCH)
    assert found["messages"] == []
    assert found["requests"] == [path.as_uri()]
    assert found["needed"] <= width
    levels = [int(level) for level in re.findall(r"\d+", found["ground"])]
    assert (max(levels) < 80) == dark
    assert found["result"] == [
        ["1 of 1", "conv17", True],
        ["1 of 11", "relu3", True],
        ["2 of 11", "relu30", True],
        ["11 of 11", "relu39", True],
        ["1 of 11", "conv3", True],
        ["none found", None],
        ["", 0],
        125,
        True,
        True,
    ]


@needs_browser
def test_a_link_may_name_what_to_search_for(tmp_path):
    path = Path(tmp_path / "n.html")
    draw_net_to_file(deep(40), path, "LR")
    says = "[document.getElementById('count').textContent, scrollY]"
    assert look(path, 900, False, says, fragment="blob21")["result"] == ["1 of 1", 0]
