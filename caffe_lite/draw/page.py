"""Output of a picture as an HTML page: for nets of hundreds of layers, with search and zoom."""

from __future__ import annotations

from caffe_lite.draw.picture import Picture
from caffe_lite.draw.svg import to_svg
from caffe_lite.markup import Markup, document, element

_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --bar: #f1f3f6; --ink: #1b2127;
  --soft: #55606c; --rule: #c9d0d8; --mark: #d0006f; }
@media (prefers-color-scheme: dark) { :root { --ground: #1a1a1a; --bar: #23282e; --ink: #e6eaee;
  --soft: #a3aeba; --rule: #46515d; --mark: #ff5fae; }
  #net svg { filter: invert(.9) hue-rotate(180deg); } }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: var(--ground); color: var(--ink);
  font: 15px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; padding: 8px 12px;
  background: var(--bar); border-bottom: 1px solid var(--rule); }
h1 { font-size: 16px; margin: 0 8px 0 0; overflow-wrap: anywhere; }
h1 small { font-weight: 400; color: var(--soft); }
form { display: flex; flex: 1 1 240px; gap: 6px; align-items: center; margin: 0; }
input { flex: 1; min-width: 0; max-width: 340px; }
input, button { font: inherit; color: inherit; background: var(--ground); padding: 4px 9px;
  border: 1px solid var(--rule); border-radius: 6px; }
button { cursor: pointer; }
output { color: var(--soft); white-space: nowrap; min-width: 68px; }
#net { flex: 1; overflow: auto; cursor: grab; touch-action: pan-x pan-y; padding: 8px; }
#net.moving { cursor: grabbing; user-select: none; }
#net svg { display: block; margin: 0 auto; }
.found > polygon { stroke: #d0006f; stroke-width: 2.5; }
.current > polygon { stroke: #d0006f; stroke-width: 6; }
.searching .layer:not(.found), .searching .blob:not(.found) { opacity: .5; }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 1px; }
"""

_SCRIPT = """
(() => {
  const view = document.getElementById('net'), svg = view.querySelector('svg');
  const input = document.getElementById('search'), count = document.getElementById('count');
  const boxes = [...svg.querySelectorAll('g.layer, g.blob')];
  const words = boxes.map(each => [...each.querySelectorAll('title, text')]
    .map(part => part.textContent).join(' ').toLowerCase());
  const width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height;
  let scale = 1, found = [], current = -1;

  const zoom = (to, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const next = Math.min(4, Math.max(0.02, to));
    const left = (view.scrollLeft + x) / scale, top = (view.scrollTop + y) / scale;
    scale = next;
    svg.setAttribute('width', width * scale);
    svg.setAttribute('height', height * scale);
    view.scrollLeft = left * scale - x;
    view.scrollTop = top * scale - y;
  };
  const whole = () => Math.min((view.clientWidth - 16) / width, (view.clientHeight - 16) / height);
  const show = index => {
    if (found[current]) found[current].classList.remove('current');
    current = index;
    const box = found[current];
    if (box) {
      box.classList.add('current');
      if (scale < 0.5) zoom(0.8);
      const place = box.getBoundingClientRect(), frame = view.getBoundingClientRect();
      view.scrollLeft += place.x + place.width / 2 - frame.x - frame.width / 2;
      view.scrollTop += place.y + place.height / 2 - frame.y - frame.height / 2;
    }
    count.textContent = input.value.trim() ? (found.length ? (current + 1) + ' of ' + found.length
      : 'none found') : '';
  };
  const search = () => {
    const wanted = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    if (found[current]) found[current].classList.remove('current');
    boxes.forEach((box, index) => box.classList.toggle('found',
      wanted.length > 0 && wanted.every(word => words[index].includes(word))));
    found = boxes.filter(box => box.classList.contains('found'));
    svg.classList.toggle('searching', found.length > 0);
    current = -1;
    show(found.length ? 0 : -1);
  };
  const step = by => found.length && show((current + by + found.length) % found.length);

  input.addEventListener('input', search);
  input.form.addEventListener('submit', event => { event.preventDefault(); step(1); });
  input.addEventListener('keydown', event => {
    if (event.key === 'Enter' && event.shiftKey) { event.preventDefault(); step(-1); }
    if (event.key === 'Escape') { input.value = ''; search(); }
  });
  const press = (id, action) => document.getElementById(id).addEventListener('click', action);
  press('before', () => step(-1));
  press('in', () => zoom(scale * 1.25));
  press('out', () => zoom(scale / 1.25));
  press('whole', () => zoom(whole()));
  press('actual', () => zoom(1));
  view.addEventListener('wheel', event => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const frame = view.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 400), event.clientX - frame.x, event.clientY - frame.y);
  }, { passive: false });
  addEventListener('keydown', event => {
    if (event.target === input || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = { '+': () => zoom(scale * 1.25), '-': () => zoom(scale / 1.25),
      '0': () => zoom(1), '/': () => input.focus() }[event.key];
    if (action) { event.preventDefault(); action(); }
  });
  let grip = null;
  view.addEventListener('pointerdown', event => {
    if (event.pointerType !== 'mouse' || event.button !== 0) return;
    grip = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
    view.classList.add('moving');
  });
  addEventListener('pointermove', event => {
    if (!grip) return;
    view.scrollLeft = grip[0] - event.clientX;
    view.scrollTop = grip[1] - event.clientY;
  });
  addEventListener('pointerup', () => { grip = null; view.classList.remove('moving'); });

  const deep = height > width;
  const fits = deep ? (view.clientWidth - 16) / width : (view.clientHeight - 16) / height;
  zoom(Math.min(1, Math.max(0.5, fits)), 0, 0);
  view.scrollLeft = deep ? (width * scale - view.clientWidth) / 2 : 0;
  view.scrollTop = deep ? 0 : (height * scale - view.clientHeight) / 2;
  if (location.hash) { input.value = decodeURIComponent(location.hash.slice(1)); search(); }
})();
"""


def to_html(picture: Picture) -> bytes:
    """The content of the page, in UTF-8: the picture as SVG, with a search and zooms."""
    layers = sum(not box.is_blob for box in picture.boxes)
    buttons = (
        ("before", "\N{LEFTWARDS ARROW}", "the one before"),
        ("next", "\N{RIGHTWARDS ARROW}", "the next one"),
    )
    search = element(
        "form",
        element(
            "input",
            id="search",
            type="search",
            placeholder="layer, blob or type",
            aria_label="Search for layers, blobs and types",
            autocomplete="off",
            list="names",
        ),
        *(
            element(
                "button",
                sign,
                id=name,
                type="submit" if name == "next" else "button",
                title=words,
                aria_label=words,
            )
            for name, sign, words in buttons
        ),
        element("output", id="count", for_="search"),
        role="search",
    )
    zooms = (
        ("in", "+", "larger"),
        ("out", "\N{MINUS SIGN}", "smaller"),
        ("actual", "100%", "the actual size"),
        ("whole", "whole", "the whole net"),
    )
    names = dict.fromkeys(box.title for box in picture.boxes)
    return document(
        picture.title,
        _STYLE,
        _SCRIPT,
        element(
            "header",
            element("h1", picture.title, " ", element("small", f"{layers} layers")),
            search,
            element(
                "span",
                *(
                    element("button", sign, id=name, type="button", title=words, aria_label=words)
                    for name, sign, words in zooms
                ),
            ),
        ),
        element(
            "main",
            Markup(to_svg(picture).decode()),
            id="net",
            tabindex="0",
            aria_label="The net, drawn",
        ),
        element("datalist", *(element("option", value=name) for name in names), id="names"),
    ).encode()
