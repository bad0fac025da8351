"""The page's style and script: they are the same for every run."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #ffffff; --ink: #1b2127;
  --soft: #55606c; --rule: #d9dee4; --grid: #e4e8ed; --good: #0b6b3a; --warn: #8a4b00;
  --bad: #b00020; --bad-ground: #fdeaec; --warn-ground: #fff3dc;
  --c0: #0b5fc0; --c1: #b4480a; --c2: #0a7d4f; --c3: #8a3fb8; --c4: #a3195b; --c5: #5d6400; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --card: #1d232a; --ink: #e6eaee;
  --soft: #a3aeba; --rule: #36404b; --grid: #2c343d; --good: #5fd393; --warn: #ffc266;
  --bad: #ff8d9c; --bad-ground: #3d1d23; --warn-ground: #3a2c12;
  --c0: #6db0ff; --c1: #ff9d5c; --c2: #55d19a; --c3: #cf9bff; --c4: #ff8abf; --c5: #cfd75b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 16px; }
h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 28px 0 10px; }
p { margin: 6px 0; }
.soft, .none, figcaption span { color: var(--soft); }
.state { display: inline-block; font-weight: 600; border: 1px solid currentColor;
  border-radius: 999px; padding: 1px 10px; margin-right: 8px; }
.running { color: var(--c0); } .finished { color: var(--good); }
.stopped { color: var(--warn); } .failed { color: var(--bad); }
.notice { border-left: 4px solid var(--warn); background: var(--warn-ground); padding: 8px 12px;
  border-radius: 4px; overflow-wrap: anywhere; }
.notice.bad { border-color: var(--bad); background: var(--bad-ground); }
progress { width: 100%; height: 8px; accent-color: var(--c0); display: block; margin: 10px 0; }
.tiles, .charts { display: grid; gap: 12px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); margin: 14px 0; }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); }
.tiles > div, figure, .card { background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 10px 12px; margin: 0; min-width: 0; }
dt { color: var(--soft); font-size: 13px; } dd { margin: 0; font-size: 20px; font-weight: 600;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
figcaption { font-weight: 600; margin-bottom: 4px; overflow-wrap: anywhere; }
figcaption span { font-weight: 400; }
svg.chart { display: block; width: 100%; height: auto; }
.grid line { stroke: var(--grid); } .grid text { fill: var(--soft); font-size: 12px; }
.line { color: var(--c0); }
.line polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
.line circle { fill: currentColor; } .band { fill: currentColor; opacity: .18; }
.color1 { color: var(--c1); } .color2 { color: var(--c2); } .color3 { color: var(--c3); }
.color4 { color: var(--c4); } .color5 { color: var(--c5); }
.color1 polyline { stroke-dasharray: 7 4; } .color2 polyline { stroke-dasharray: 2 3; }
.color3 polyline { stroke-dasharray: 9 3 2 3; } .color4 polyline { stroke-dasharray: 12 4; }
.color5 polyline { stroke-dasharray: 4 2; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0;
  padding: 0; font-size: 13px; overflow-wrap: anywhere; }
.pixels { image-rendering: pixelated; max-width: 100%; height: auto; display: block; }
.worst { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 10px; }
.worst figure { padding: 8px; }
.worst img { width: 100%; max-height: 140px; object-fit: contain; image-rendering: pixelated; }
.worst figcaption { font-weight: 400; font-size: 13px; margin: 4px 0 0; }
.scroll { overflow: auto; max-height: 75vh; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; position: sticky; top: 0; background: var(--card); }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; padding: 2px 0; }
pre { margin: 0; font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono",
  monospace; tab-size: 2; }
.net svg { display: block; max-width: none; }
@media (prefers-color-scheme: dark) { .net svg { filter: invert(.88) hue-rotate(180deg); } }
:focus-visible { outline: 3px solid var(--c0); outline-offset: 2px; }
footer { color: var(--soft); font-size: 13px; margin: 30px 0 10px; }
"""

SCRIPT = """
(() => {
  const reload = Number(document.documentElement.dataset.reload) * 1000;
  const renewed = Number(document.documentElement.dataset.renewed) * 1000;
  const age = document.getElementById('age'), stale = document.getElementById('stale');
  const all = [...document.querySelectorAll('details[id]')];
  const key = 'caffe_lite.report ' + location.pathname;
  try {
    const open = JSON.parse(sessionStorage.getItem(key) || 'null');
    if (open) all.forEach(each => each.open = open.includes(each.id));
    all.forEach(each => each.addEventListener('toggle', () => sessionStorage.setItem(key,
      JSON.stringify(all.filter(other => other.open).map(other => other.id)))));
  } catch (error) { /* a browser may keep nothing for a file */ }
  if (!reload) return;
  let touched = 0;
  for (const name of ['pointerdown', 'wheel', 'keydown', 'touchmove'])
    addEventListener(name, () => touched = Date.now(), { passive: true });
  const words = seconds => seconds < 90 ? Math.round(seconds) + ' s'
    : seconds < 5400 ? Math.round(seconds / 60) + ' min' : Math.round(seconds / 3600) + ' h';
  const show = () => {
    const seconds = Math.max(0, (Date.now() - renewed) / 1000);
    age.textContent = ', ' + words(seconds) + ' ago';
    stale.hidden = seconds < Math.max(60, reload / 100);
  };
  const opened = Date.now();
  setInterval(() => {
    show();
    const now = Date.now();
    const busy = now - touched < 4000 || String(getSelection());
    if (now - opened > reload && !busy) location.reload();
  }, 1000);
  show();
})();
"""
