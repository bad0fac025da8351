"""HTML and SVG made of elements, so that no text of somebody else's becomes part of the markup.

Whatever is not `Markup` is text, and is escaped: names of nets, layers and blobs come from files
of others.  A page of `document` refers to nothing outside of itself, and its security policy lets
a browser run no script but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import html


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


Content = str | float | bool | None
"""What an element has in it: markup, text, a number; None is nothing."""

VOID = frozenset({"br", "img", "input", "link", "meta"})
"""Elements of HTML that have no content and no end."""


def text(value: Content) -> Markup:
    """A text or a number as markup; characters that are not printable become U+FFFD."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup()
    shown = value if isinstance(value, str) else f"{value:g}"
    safe = (c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return Markup(html.escape("".join(safe)))


def element(tag: str, /, *content: Content, **attributes: Content) -> Markup:
    """An element; attributes are named as in Python: `class_`, `aria_label`.

    An attribute that is None or False is left out; one that is True has no value.
    """
    parts = [f"<{tag}"]
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {name}")
        elif value is not None and value is not False:
            parts.append(f' {name}="{text(value)}"')
    if tag in VOID:
        return Markup("".join([*parts, ">"]))
    return Markup("".join([*parts, ">", *map(text, content), f"</{tag}>"]))


def join(*content: Content) -> Markup:
    """Markup and texts one after the other."""
    return Markup("".join(map(text, content)))


def document(title: str, style: str, script: str, *body: Content, **attributes: Content) -> str:
    """A whole page.  `attributes` are those of its root; style and script are this program's."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    page = element(
        "html",
        "\n",
        head,
        "\n",
        element("body", *body, element("script", Markup(script))),
        "\n",
        lang="en",
        **attributes,
    )
    return f"<!DOCTYPE html>\n{page}\n"
