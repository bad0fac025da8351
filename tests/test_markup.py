from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from caffe_lite.markup import Markup, document, element, join, text


def test_texts_are_escaped_and_markup_is_not():
    inner = element("b", 'a < "b" & c')
    assert inner == "<b>a &lt; &quot;b&quot; &amp; c</b>"
    assert element("p", inner, None, 2.5, 3) == f"<p>{inner}2.53</p>"
    assert element("p", f"{inner}!").startswith("<p>&lt;b&gt;")  # a mere text again
    assert join("<", Markup("<br>")) == "&lt;<br>"


def test_attributes():
    made = element(
        "img", class_="a b", aria_label='"<', hidden=True, alt=None, open=False, width=3
    )
    assert made == '<img class="a b" aria-label="&quot;&lt;" hidden width="3">'


def test_characters_that_control_are_replaced():
    assert text("a\x00\x1b[31m\u202eb\n\tc") == "a\ufffd\ufffd[31m\ufffdb\n\tc"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.policy, self.scripts = [], "", []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)
        if dict(attributes).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attributes)["content"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def test_a_document_allows_its_own_script_only():
    page = document(
        "</title><script>", "p > a { }", "if (1 < 2 && 3) { }", "</script>", data_x="y"
    )
    found = Tags()
    found.feed(page)
    assert found.open == []
    assert found.scripts == ["if (1 < 2 && 3) { }"]
    digest = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
    assert found.policy.startswith("default-src 'none'")
    assert re.findall(r"'sha256-([^']*)'", found.policy) == [digest]
    assert '<html lang="en" data-x="y">' in page
