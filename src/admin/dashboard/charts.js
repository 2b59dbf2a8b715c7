// Answers a second over time, with what happened then.

import { by, html, rate, show, svg, utc } from './dom.js';

/** What is shown, in milliseconds. */
const WINDOW = 15 * 60 * 1000;
/** Samples closer together say little of a rate. */
const APART = 1500;
/** Regions with lines of their own; each has a colour and a dash. */
const LINES = 7;
const DASHES = ['', '7 4', '2 3', '10 3 2 3', '5 2', '1 4', '12 5', '3 3'];
const [HIGH, LEFT, BELOW, ABOVE] = [190, 46, 22, 18];
const MARKED = {
  'region:down': ['✕', 'bad'], 'region:up': ['✓', 'good'],
  'override.set': ['●', 'act'],
  'override.cleared': ['○', 'act'], 'override.ended': ['○', 'act'],
  'drill.started': ['◆', 'act'], 'drill.ended': ['◇', 'act'],
};

/** Counters by time, the oldest first: `{ time, queries, answers: Map }`. */
let samples = [];

/** Forgets what is known, for a node that has started anew. */
export function restart() {
  samples = [];
}

/** Takes in what the node remembers. */
export function remember({ regions, samples: told }) {
  const read = ({ time_ms, queries, answers }) => ({
    time: time_ms, queries, answers: new Map(regions.map((name, at) => [name, answers[at] ?? 0])),
  });
  const first = samples[0]?.time ?? Infinity;
  samples = [...told.filter((one) => one.time_ms < first).map(read), ...samples];
}

/** Takes in the counters of a status. */
export function sample(status) {
  const last = samples.at(-1);
  const answers = new Map(status.regions.map((one) => [one.region, one.answers]));
  // A clock that was set back, or counters that began anew.
  if (last && (status.time_ms < last.time || status.queries < last.queries)) restart();
  if (last && status.time_ms - last.time < APART) return;
  samples.push({ time: status.time_ms, queries: status.queries, answers });
  while (samples.length > 2 && samples[1].time < status.time_ms - WINDOW) samples.shift();
}

/** Answers a second by region, of late. */
export function rates() {
  const last = samples.at(-1);
  const first = samples.findLast((one) => last && last.time - one.time >= 3 * APART) ?? samples[0];
  const found = new Map();
  if (!last || last === first) return found;
  for (const [name, count] of last.answers) {
    found.set(name, per(count - (first.answers.get(name) ?? 0), last.time - first.time));
  }
  return found;
}

const per = (count, milliseconds) => Math.max(0, count) / (milliseconds / 1000);

/** Rates between the samples: `{ time, all, of: Map }`. */
function course() {
  const points = [];
  let before = samples[0];
  for (const one of samples.slice(1)) {
    const span = one.time - before.time;
    // Close samples together, so that the line does not tremble.
    if (span < 4500 && one !== samples.at(-1)) continue;
    const of = new Map();
    let all = 0;
    for (const [name, count] of one.answers) {
      const own = per(count - (before.answers.get(name) ?? 0), span);
      of.set(name, own);
      all += own;
    }
    points.push({ time: one.time, all, of });
    before = one;
  }
  return points;
}

function ceiling(most) {
  if (most <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= most);
}

/** Draws the chart; `events` are those that are known. */
export function draw(status, events) {
  const place = by('rate');
  const wide = Math.max(280, place.clientWidth);
  const end = status.time_ms;
  const points = course().filter((one) => one.time >= end - WINDOW);
  const mean = (name) => points.reduce((sum, one) => sum + (one.of.get(name) ?? 0), 0);
  const names = status.regions.map((one) => one.region);
  const chosen = names.length <= LINES ? names
    : [...names].sort((a, b) => mean(b) - mean(a)).slice(0, LINES).sort();
  const most = ceiling(Math.max(...points.flatMap((p) => chosen.map((n) => p.of.get(n) ?? 0)), 0));
  const x = (time) => LEFT + ((time - (end - WINDOW)) / WINDOW) * (wide - LEFT - 10);
  const y = (value) => ABOVE + (1 - value / most) * (HIGH - ABOVE - BELOW);
  const parts = [];
  for (const part of [0, 0.5, 1]) {
    const at = y(most * part);
    parts.push(svg('line', { x1: LEFT, x2: wide - 10, y1: at, y2: at, class: 'rule' }));
    parts.push(svg('text', { x: LEFT - 6, y: at + 4, class: 'axis', 'text-anchor': 'end' },
      rate(most * part)));
  }
  for (let minutes = 0; minutes <= 15; minutes += 5) {
    const time = end - minutes * 60000;
    const anchor = minutes === 0 ? 'end' : 'middle';
    parts.push(svg('text', { x: x(time), y: HIGH - 6, class: 'axis', 'text-anchor': anchor },
      utc(time / 1000).slice(0, 5)));
  }
  for (const event of events) {
    const key = event.kind === 'region' ? `region:${event.state}` : event.kind;
    const time = event.time * 1000;
    if (!MARKED[key] || time < end - WINDOW) continue;
    const [sign, tone] = MARKED[key];
    parts.push(svg('g', { class: `mark-at ${tone}` },
      svg('line', { x1: x(time), x2: x(time), y1: ABOVE - 2, y2: HIGH - BELOW }),
      svg('text', { x: x(time), y: ABOVE - 5, 'text-anchor': 'middle' }, sign)));
  }
  chosen.forEach((name, at) => {
    const line = points.map((p) => `${x(p.time).toFixed(1)} ${y(p.of.get(name) ?? 0).toFixed(1)}`);
    if (line.length < 2) return;
    parts.push(svg('path', {
      d: `M${line.join('L')}`, class: `series s${at}`, 'stroke-dasharray': DASHES[at],
    }));
  });
  const now = rates();
  const sum = [...now.values()].reduce((total, one) => total + one, 0);
  const label = `Answers a second by region in the last 15 minutes; now ${rate(sum)}`;
  const chart = svg('svg', {
    viewBox: `0 0 ${wide} ${HIGH}`, width: wide, height: HIGH, role: 'img', 'aria-label': label,
  }, ...parts);
  place.replaceChildren(chart);
  key(chosen, names.length - chosen.length, now, sum);
}

function key(chosen, others, now, sum) {
  const told = chosen.map((name) => [name, now.has(name) ? rate(now.get(name)) : '–']);
  show(by('rate-key'), [told, others], () => [
    ...told.map(([name, value], at) => html('li', {},
      svg('svg', { width: 26, height: 10, 'aria-hidden': 'true' }, svg('path', {
        d: 'M1 5H25', class: `series s${at}`, 'stroke-dasharray': DASHES[at],
      })), `${name} ${value}`)),
    ...(others > 0 ? [html('li', {}, `and ${others} regions with fewer`)] : []),
  ]);
  show(by('rate-now'), rate(sum), () => `${rate(sum)} a second now`);
}

/** What happened, as a line each: mark, tone and words. */
function told(event) {
  const { kind } = event;
  const over = event.override;
  const what = over ? `${over.action} ${over.target}` : '';
  const cause = event.cause ? `: ${event.cause}` : '';
  switch (kind) {
    case 'flip': {
      const endpoint = `${event.pool} ${event.region} ${event.endpoint}`;
      return [event.to, `${endpoint} went from ${event.from} to ${event.to}${cause}`];
    }
    case 'region':
      return [event.state, `region ${event.region} is ${event.state}`];
    case 'mode':
      return [event.mode === 'live' || event.mode === 'alone' ? 'up' : 'degraded',
        `this node and its peers: ${event.mode}`];
    case 'reload':
      return [event.outcome === 'ok' ? 'up' : 'degraded', `files read anew: ${event.outcome}`];
    case 'override.set':
      return ['drained', `${over.author} set ${what}: ${over.reason}`];
    case 'override.cleared':
      return ['unknown', `${what} was cleared`];
    case 'override.ended':
      return ['unknown', `${what} is over, its time was up`];
    case 'drill.started':
      return ['drained', `drill ${event.drill} began, by ${event.author}`];
    case 'drill.ended':
      return ['unknown', `drill ${event.drill} is over`];
    case 'drill.reported':
      return [event.outcome === 'passed' ? 'up' : 'degraded',
        `drill ${event.drill} ${event.outcome}${event.reason ? `: ${event.reason}` : ''}`];
    case 'drift':
      return event.drifted
        ? ['degraded', `${event.peer} in ${event.region} serves another configuration`]
        : ['up', `${event.peer} in ${event.region} differs no longer`];
    case 'certificate':
      return ['degraded',
        `certificate of ${event.names.join(', ')} (${event.place}): ${event.days_left} days left`];
    case 'certificate.failed':
      return ['degraded', `no certificate of ${event.names.join(', ')}: ${event.error}`];
    case 'geo':
      return ['degraded', `geo database ${event.database} is ${event.days} days old`];
    default: {
      const { time, node, number, ...rest } = event;
      const words = Object.entries(rest).filter(([name]) => name !== 'kind');
      return ['degraded',
        `${kind} ${words.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', ')}`];
    }
  }
}

/** The list of what happened, the last first. */
export function list(events) {
  show(by('events'), [events.length, events.at(-1)], () => {
    if (events.length === 0) {
      return html('li', { class: 'note' }, 'Nothing since the node started.');
    }
    return events.slice(-100).reverse().map((event) => {
      const [mark, words] = told(event);
      return html('li', { class: mark },
        html('time', { datetime: new Date(event.time * 1000).toISOString() }, utc(event.time)),
        html('span', { class: `state ${mark}`, 'aria-hidden': 'true' }, SIGNS[mark] ?? '•'),
        html('span', {}, words));
    });
  });
}

const SIGNS = { up: '✓', down: '✕', drained: '‖', unknown: '○', degraded: '▲' };
