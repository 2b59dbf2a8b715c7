// The world with its regions, and lines from clients to where they are sent.

import { MARKS, bare, by, html, percent, show, svg } from './dom.js';
import { WORDS } from './fleet.js';
import { LAND } from './world.js';

/** Units of the picture; south of 58° nobody lives. */
const [WIDTH, TOP, HEIGHT] = [1000, 12, 396];
/** Countries with lines; the others have too few clients to be seen. */
const COUNTRIES = 90;

const at = (latitude, longitude) => [
  ((longitude + 180) * WIDTH) / 360,
  ((90 - latitude) * WIDTH) / 360,
];

const picture = svg('svg', {
  viewBox: `0 ${TOP} ${WIDTH} ${HEIGHT}`, class: 'world', role: 'group',
  'aria-label': 'World map of the regions',
});
const land = svg('path', {
  d: LAND, transform: 'scale(0.1)', class: 'land', 'aria-hidden': 'true',
});
const lines = svg('g', { class: 'lines', 'aria-hidden': 'true' });
const asked = svg('g', { class: 'asked', 'aria-hidden': 'true' });
const places = svg('g', { class: 'places' });
const labels = svg('g', { class: 'labels', 'aria-hidden': 'true' });
picture.append(land, lines, asked, places, labels);

let drawn = null;
let scale = 1;

/** Puts the map onto the page; it keeps its texts readable at any width. */
export function open() {
  by('map').append(picture);
  new ResizeObserver(() => {
    scale = WIDTH / Math.max(240, picture.clientWidth);
    if (drawn) draw(...drawn);
  }).observe(picture);
}

/** A line that bends away from the equator, the more the longer it is. */
function bend([x1, y1], [x2, y2]) {
  const far = Math.hypot(x2 - x1, y2 - y1);
  const up = (y1 + y2) / 2 < 230 ? -1 : 1;
  return `M${x1.toFixed(1)} ${y1.toFixed(1)}Q${((x1 + x2) / 2).toFixed(1)} ` +
    `${((y1 + y2) / 2 + up * far * 0.18).toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
}

function drawLines(flows, spots) {
  const drawing = [];
  for (const { latitude, longitude, share, to } of (flows?.clients ?? []).slice(0, COUNTRIES)) {
    const from = at(latitude, longitude);
    for (const one of to) {
      const spot = spots.get(one.region);
      const part = share * one.share;
      if (!spot || part < 0.0003) continue;
      const away = one.share - one.usual > 0.005;
      const width = (0.5 + Math.sqrt(part) * 9) * Math.min(scale, 1.6);
      drawing.push(svg('path', {
        d: bend(from, spot), class: away ? 'way away' : 'way', 'stroke-width': width.toFixed(2),
      }));
    }
    const size = (0.7 + Math.sqrt(share) * 7) * Math.min(scale, 1.6);
    drawing.push(svg('circle', { cx: from[0], cy: from[1], r: size.toFixed(2), class: 'people' }));
  }
  return drawing;
}

/** Where a label has room: right, left, below or above of its place. */
function room(x, y, reach, width, taken) {
  const high = 26 * scale;
  const boxes = [
    [x + reach, y - high / 2], [x - reach - width, y - high / 2],
    [x - width / 2, y + reach], [x - width / 2, y - reach - high],
  ];
  const clear = ([left, top]) => ([x1, y1, wide, tall]) =>
    left + width < x1 || left > x1 + wide || top + high < y1 || top > y1 + tall;
  const free = (box) => box[0] > 0 && box[0] + width < WIDTH && taken.every(clear(box));
  const [left, top] = boxes.find(free) ?? boxes[0];
  taken.push([left, top, width, high]);
  return [left, top];
}

function ring(x, y, radius, share) {
  const full = Math.min(0.9999, Math.max(0, share)) * 2 * Math.PI;
  const [ex, ey] = [x + radius * Math.sin(full), y - radius * Math.cos(full)];
  return `M${x} ${y - radius}A${radius} ${radius} 0 ${full > Math.PI ? 1 : 0} 1 ${ex} ${ey}`;
}

/** What is told of a region in words, and how large its disc is. */
function about(region, flow) {
  const share = flow?.share ?? region.part;
  const words = share === null || share === undefined ? '' : percent(share);
  const load = region.load === null ? '' : `, load ${percent(region.load)}`;
  const label = `${region.region}: ${WORDS[region.state]}, ${region.up} of ${region.endpoints} ` +
    `endpoints up${words ? `, ${words} of clients` : ''}${load}`;
  return { words, label, radius: (8 + Math.sqrt(share ?? 0) * 9) * scale };
}

/** The disc of a region, which can be chosen. */
function disc(region, flow, pick) {
  const [x, y] = at(region.latitude, region.longitude);
  const { label, radius } = about(region, flow);
  const chosen = () => pick(region.region);
  return svg('g', {
    class: `place ${region.state}`, tabindex: 0, role: 'button', 'aria-label': label,
    'data-region': region.region, 'data-state': region.state, 'data-focus': region.region,
    onclick: chosen,
    onkeydown: (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      chosen();
    },
  },
  svg('title', {}, label),
  svg('circle', { cx: x, cy: y, r: radius, class: 'disc', 'stroke-width': 1.5 * scale }),
  region.load === null ? null : svg('path', {
    d: ring(x, y, radius + 2.6 * scale, region.load),
    class: region.load > 0.9 ? 'load hot' : 'load',
    'stroke-width': (3 * scale).toFixed(2),
  }));
}

/** The sign in a region's disc, and its name and share beside it. */
function tag(region, flow, taken) {
  const [x, y] = at(region.latitude, region.longitude);
  const { words, radius } = about(region, flow);
  const width = Math.max(region.region.length * 7.6, words.length * 6.8) * scale;
  const [left, top] = room(x, y, radius + 7 * scale, width, taken);
  const text = (dy, size, name, content) => svg('text', {
    x: left, y: top + dy * scale, 'font-size': (size * scale).toFixed(2), class: name,
    'stroke-width': (3 * scale).toFixed(2),
  }, content);
  const sign = svg('text', {
    x, y: y + 4.6 * scale, 'font-size': (13 * scale).toFixed(2), 'text-anchor': 'middle',
    class: 'sign',
  }, MARKS[region.state]);
  return svg('g', { class: `tag ${region.state}` }, sign,
    text(11, 13, 'label', region.region), text(24, 11.5, 'label small', words));
}

/** Draws the regions, and who is sent to each. */
export function draw(regions, flows, pick) {
  drawn = [regions, flows, pick];
  const flow = new Map((flows?.regions ?? []).map((one) => [one.region, one]));
  const spots = new Map(regions.map((r) => [r.region, at(r.latitude, r.longitude)]));
  const facts = regions.map((r) => [r.region, r.state, r.up, r.endpoints, r.load, r.latitude,
    r.longitude, flow.get(r.region)?.share ?? r.part]);
  show(lines, [flows?.clients, scale], () => drawLines(flows, spots));
  show(places, [facts, scale], () => {
    const reach = 12 * scale;
    // Labels keep clear of all places.
    const taken = [...spots.values()].map(([x, y]) => [x - reach, y - reach, 2 * reach, 2 * reach]);
    // What needs attention lies on top.
    const order = ['empty', 'up', 'unknown', 'degraded', 'drained', 'down'];
    const sorted = [...regions].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    const tags = sorted.toReversed().map((one) => tag(one, flow.get(one.region), taken));
    labels.replaceChildren(...tags);
    return sorted.map((region) => disc(region, flow.get(region.region), pick));
  });
  note(flows);
}

function note(flows) {
  const moved = flows && flows.moved >= 0.0005;
  const text = !flows?.service
    ? 'No service is steered.'
    : `Each line is the clients of a country and the region that ` +
      `${bare(flows.service)} sends them to; ` +
      (moved ? `${percent(flows.moved)} of all clients are elsewhere than usual.`
        : 'all are where they usually are.');
  show(by('map-note'), text, () => text);
  const keys = [
    ...['up', 'degraded', 'down', 'drained'].map((name) => [
      html('span', { class: `state ${name}` }, html('span', { class: 'mark' }, MARKS[name])),
      WORDS[name]]),
    [html('span', { class: 'swatch way' }), 'usual way'],
    [html('span', { class: 'swatch away' }), 'away from home'],
    [html('span', { class: 'swatch ring' }), 'load against capacity'],
  ];
  show(by('map-key'), 'once', () => keys.map((key) => html('li', {}, ...key)));
}

/** Shows one client and the regions it is answered with; `null`: none. */
export function client(located, names, regions) {
  asked.replaceChildren();
  if (!located || located.latitude === null || located.latitude === undefined) return;
  const from = at(located.latitude, located.longitude);
  const size = 5 * scale;
  for (const region of regions.filter((one) => names.includes(one.region))) {
    const d = bend(from, at(region.latitude, region.longitude));
    asked.append(svg('path', { d, class: 'answer', 'stroke-width': (2.5 * scale).toFixed(2) }));
  }
  const [x, y] = from;
  const d = `M${x} ${y - size}L${x + size} ${y}L${x} ${y + size}L${x - size} ${y}Z`;
  asked.append(svg('path', { d, class: 'client', 'stroke-width': (1.5 * scale).toFixed(2) }));
}
