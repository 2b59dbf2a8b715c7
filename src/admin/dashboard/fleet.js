// Regions, pools, endpoints and the node itself, as the node tells of them.

import { MARKS, age, bare, by, count, html, percent, rate, show, state } from './dom.js';

/** Endpoints that are listed at a time; those that are not up come first. */
const LISTED = 200;

const RANK = { down: 0, drained: 1, unknown: 2, up: 3 };
const since = new Map();

/** When something began, in milliseconds of this page; the same until it begins anew. */
function began(key, seconds) {
  const at = Math.round(performance.now() - seconds * 1000);
  const before = since.get(key);
  // Ages are told in whole seconds, and come late by what they take.
  if (before === undefined || Math.abs(before - at) > 2500) since.set(key, at);
  return since.get(key);
}

/** The state of endpoints together. */
function together({ up, unknown, drained, endpoints }) {
  if (endpoints === 0) return 'empty';
  if (up === endpoints) return 'up';
  if (up === 0 && unknown === endpoints) return 'unknown';
  if (up + unknown > 0) return 'degraded';
  return drained > 0 ? 'drained' : 'down';
}

export const WORDS = {
  up: 'up',
  degraded: 'partly up',
  unknown: 'not judged yet',
  drained: 'drained',
  down: 'down',
  empty: 'no endpoints',
};

/** What a status means, region by region; `rates` are answers a second by region. */
export function survey(status, rates) {
  const drained = new Map();
  const first = new Map();
  for (const one of status.endpoints) {
    const add = (key) => drained.set(key, (drained.get(key) ?? 0) + 1);
    if (one.health === 'drained') {
      add(one.region);
      add(`${one.pool} ${one.region}`);
    }
    if (one.health !== 'up') {
      first.set(one.region, Math.min(first.get(one.region) ?? Infinity, one.age_seconds));
    }
  }
  const load = new Map();
  for (const pool of status.pools) {
    const { requests, capacity } = pool.load ?? {};
    const sum = load.get(pool.region) ?? { requests: 0, capacity: 0, known: false };
    if (typeof requests === 'number') {
      sum.requests += requests;
      sum.known = true;
    }
    sum.capacity += capacity ?? 0;
    load.set(pool.region, sum);
  }
  const total = [...rates.values()].reduce((sum, one) => sum + one, 0);
  return status.regions.map((region) => {
    const sum = load.get(region.region);
    const answers = rates.get(region.region);
    return {
      ...region,
      state: together({ ...region, drained: drained.get(region.region) ?? 0 }),
      load: sum?.known && sum.capacity > 0 ? sum.requests / sum.capacity : null,
      requests: sum?.known ? sum.requests : null,
      capacity: sum?.capacity > 0 ? sum.capacity : null,
      rate: answers ?? null,
      part: total > 0 && answers !== undefined ? answers / total : null,
      began: first.has(region.region)
        ? began(`region ${region.region}`, first.get(region.region)) : null,
      drained: (name) => drained.get(`${name} ${region.region}`) ?? 0,
    };
  });
}

const WORST = ['down', 'drained', 'degraded', 'unknown'];

/** The fleet in a sentence: what is true, and what it means for clients. */
export function verdict(status, regions, flows) {
  const of = (name) => regions.filter((region) => region.state === name);
  const names = (name) => of(name).map((region) => region.region).join(', ');
  const serving = regions.filter((r) => ['up', 'degraded', 'unknown'].includes(r.state)).length;
  const all = regions.filter((r) => r.state !== 'empty').length;
  const worst = status.ready ? WORST.find((name) => of(name).length > 0) ?? 'up' : 'down';
  const say = [];
  for (const name of WORST) {
    if (of(name).length > 0) say.push(`${names(name)}: ${WORDS[name]}`);
  }
  const headline = !status.ready
    ? 'This node is not ready'
    : serving === 0 && all > 0 ? 'No region serves' : say.join(' · ') || 'All regions are up';
  const facts = [`${serving} of ${count(all, 'region')} serve`];
  const moved = flows?.moved ?? 0;
  if (flows?.service) {
    facts.push(moved < 0.0005
      ? 'all clients are where they usually are'
      : `${percent(moved)} of the clients of ${bare(flows.service)} are elsewhere than usual`);
    if (flows.unanswered > 0.0005) facts.push(`${percent(flows.unanswered)} get no address`);
  }
  const forced = status.overrides.length;
  if (forced > 0) facts.push(`${count(forced, 'override')} in force`);
  if (status.mode === 'isolated' || status.mode === 'degraded') {
    facts.push(`this node's view of its peers is ${status.mode}`);
  }
  const silent = status.peers.filter((peer) => peer.standing === 'dead');
  if (silent.length > 0) facts.push(`${count(silent.length, 'peer')} silent`);
  const drifted = status.peers.filter((peer) => peer.drifted);
  if (drifted.length > 0) {
    facts.push(`${count(drifted.length, 'peer')} with another configuration`);
  }
  const troubled = status.zones.filter((zone) => zone.state !== 'ok');
  const zones = troubled.map((zone) => zone.zone).join(', ');
  if (troubled.length > 0) facts.push(`zones in trouble: ${zones}`);
  show(by('verdict'), [worst, headline, facts, status.notes], () => [
    html('p', { class: 'headline' }, state(worst, headline)),
    html('p', { class: 'facts' }, facts.join(' · ')),
    ...status.notes.map((note) => html('p', { class: 'facts strong' }, note)),
  ]);
  document.title = `${{ up: '✓', down: '✕' }[worst] ?? '▲'} ${headline} – Meridian`;
  by('verdict').className = `verdict ${worst}`;
}

function meter(share) {
  const full = Math.min(1, share);
  const bar = html('span', { class: `fill ${share > 0.9 ? 'hot' : ''}` });
  bar.style.width = `${full * 100}%`;
  return html('span', { class: 'meter', 'aria-hidden': 'true' }, bar);
}

/** The list of regions; `pick` is called with the name of one that is chosen. */
export function listRegions(regions, flows, pick) {
  const flow = new Map((flows?.regions ?? []).map((one) => [one.region, one]));
  const facts = regions.map((r) => [
    r.region, r.state, r.up, r.endpoints, r.load, r.requests, r.capacity, r.rate, r.part,
    r.began, flow.get(r.region), r.vantage,
  ]);
  show(by('regions'), facts, () => regions.map((region) => {
    const sent = flow.get(region.region);
    const lines = [];
    if (region.load !== null) {
      const of = `${rate(region.requests)} of ${rate(region.capacity)} requests/s`;
      lines.push(html('div', { class: 'line' },
        html('span', {}, `load ${percent(region.load)}`), meter(region.load),
        html('span', {}, of)));
    } else if (region.requests !== null) {
      lines.push(html('div', { class: 'line' }, `load ${rate(region.requests)} requests/s`));
    }
    const words = [];
    if (sent) {
      const usual = Math.abs(sent.share - sent.usual) > 0.0005
        ? ` (usually ${percent(sent.usual)})` : '';
      words.push(`${percent(sent.share)} of clients${usual}`);
    }
    if (region.rate !== null) {
      const part = region.part === null ? '' : ` (${percent(region.part)})`;
      words.push(`${rate(region.rate)} answers/s${part}`);
    }
    if (region.vantage) words.push(`probers ${region.vantage}`);
    if (words.length > 0) lines.push(html('div', { class: 'line dim' }, words.join(' · ')));
    const name = html('button', {
      type: 'button', class: 'name', 'data-focus': `region ${region.region}`,
      onclick: () => pick(region.region),
    }, region.region);
    const for_ = region.began === null ? [] : [' for ', age(region.began)];
    return html('li', { class: `region ${region.state}` },
      html('div', { class: 'line first' }, name,
        html('span', {}, state(region.state, WORDS[region.state]), ...for_),
        html('span', { class: 'dim' }, `${region.up} of ${region.endpoints} up`)),
      ...lines);
  }));
}

/** Pools, region by region. */
export function listPools(status, regions) {
  const at = new Map(regions.map((region) => [region.region, region]));
  const pools = new Map();
  for (const pool of status.pools) {
    const drained = at.get(pool.region)?.drained(pool.pool) ?? 0;
    const { requests, capacity, errors, queue } = pool.load ?? {};
    const words = [`${pool.up}/${pool.endpoints}`];
    if (typeof requests === 'number') {
      words.push(`${rate(requests)}${capacity ? ` of ${rate(capacity)}` : ''} requests/s`);
      if (errors >= 0.05) words.push(`${rate(errors)} errors/s`);
      if (queue > 0) words.push(`${queue} waiting`);
    }
    const place = [pool.region, together({ ...pool, drained }), words.join(', ')];
    pools.set(pool.pool, [...(pools.get(pool.pool) ?? []), place]);
  }
  show(by('pools'), [...pools], () => [...pools].map(([name, places]) => html('li', {},
    html('strong', {}, name),
    ...places.map(([region, what, words]) => html('span', { class: `chip ${what}` },
      state(what, region), ` ${words}`)))));
}

function chip(vote) {
  const words = [vote.vantage];
  if (vote.cause) words.push(vote.cause);
  return html('span', { class: `chip ${vote.verdict}` },
    state(vote.verdict, words.join(' ')), ' ', age(vote.began));
}

/** Endpoints that fit `find`, those that are not up first. */
export function listEndpoints(status, find, troubled) {
  const wanted = find.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ pool, region, endpoint, health, cause }) => {
    const text = `${pool} ${region} ${endpoint} ${health} ${cause}`.toLowerCase();
    return wanted.every((word) => text.includes(word)) && !(troubled && health === 'up');
  };
  const found = status.endpoints.filter(fits);
  found.sort((a, b) => RANK[a.health] - RANK[b.health]);
  const rows = found.slice(0, LISTED).map((one) => {
    const key = `${one.pool} ${one.region} ${one.endpoint}`;
    const votes = (one.votes ?? []).map((vote) => ({
      ...vote, age_seconds: 0, began: began(`${key} ${vote.vantage}`, vote.age_seconds),
    }));
    return { ...one, age_seconds: 0, began: began(key, one.age_seconds), votes };
  });
  show(by('endpoints'), [rows, found.length], () => {
    if (rows.length === 0) {
      const none = status.endpoints.length === 0 ? 'There are no endpoints.' : 'None fits.';
      return html('p', { class: 'note' }, troubled && !find ? 'All endpoints are up.' : none);
    }
    const heads = ['State', 'Endpoint', 'Pool', 'Region', 'For', 'Why', 'Said by'];
    const cell = (head, ...content) => html('td', { 'data-head': head }, ...content);
    const body = rows.map((one) => html('tr', { class: one.health },
      cell('State', state(one.health)),
      cell('Endpoint', html('code', {}, one.endpoint)),
      cell('Pool', one.pool),
      cell('Region', one.region),
      cell('For', age(one.began)),
      cell('Why', one.cause, one.residual
        ? `; ${count(one.residual.in_flight, 'request')} under way, ` +
          `${one.residual.requests} came while drained` : ''),
      cell('Said by', ...(one.votes.length ? one.votes.map(chip) : ['–']))));
    const table = html('table', {},
      html('thead', {}, html('tr', {},
        ...heads.map((text) => html('th', { scope: 'col' }, text)))),
      html('tbody', {}, ...body));
    const more = found.length - rows.length;
    return [table, ...(more > 0 ? [html('p', { class: 'note' }, `and ${more} more`)] : [])];
  });
}

/** A peer in a few words: whether it is heard, and whether it serves what this node serves. */
function peer({ node, region, standing, drifted, digest, version, since }, own) {
  const words = [`${node} in ${region}: ${standing}`];
  if (version !== own) words.push(`meridian ${version}`);
  if (digest === null) words.push('serves nothing yet');
  const how = standing === 'live' && drifted ? 'degraded' : SEATS[standing];
  const silent = standing === 'live' ? [] : [' for ', age(since)];
  return html('li', {}, html('span', { class: `chip ${how}` },
    state(how, words.join(', ')), ...silent));
}

/** What this node serves, and what it knows of its peers. */
export function config(status, regions, skew) {
  const plan = status.plan ? `(${status.plan.epoch}, ${status.plan.version})` : 'not numbered';
  const probing = regions.filter((region) => region.vantage);
  const rank = (one) => (one.standing === 'live' ? (one.drifted ? 1 : 2) : 0);
  const found = [...status.peers].sort((a, b) => rank(a) - rank(b));
  const peers = found.slice(0, LISTED).map(({ heard_seconds: heard, ...one }) => ({
    ...one,
    since: one.standing === 'live' ? null : began(`peer ${one.region} ${one.node}`, heard),
  }));
  const facts = [
    ['Node', `${status.node} in ${status.region}`],
    ['Version', status.version],
    ['Snapshot', `generation ${status.generation}`],
    ['Configuration', `digest ${status.digest.slice(0, 12) || 'none'}`],
    ['Plan', plan],
    ['Peers', status.mode || 'unknown'],
    ['Zones', `${status.zones.filter((z) => z.state === 'ok').length} of ` +
      `${status.zones.length} ok`],
  ];
  if (Math.abs(skew) > 2000) {
    facts.push(['Clock', `${off(skew)} this browser's`]);
  }
  const seats = probing.map((p) => [p.region, p.vantage]);
  show(by('config'), [facts, seats, peers, found.length, status.digest], () => [
    html('dl', {}, ...facts.map(([name, value]) =>
      html('div', {}, html('dt', {}, name), html('dd', {}, value)))),
    html('ul', { class: 'pools', 'aria-label': 'Probing regions' }, ...seats.map(([region, seat]) =>
      html('li', {}, html('span', { class: `chip ${SEATS[seat]}` },
        state(SEATS[seat], `${region}: ${seat}`))))),
    ...(found.length === 0 ? [] : [html('ul', { class: 'pools', 'aria-label': 'Peers' },
      ...peers.map((one) => peer(one, status.version)),
      ...(found.length > LISTED ? [html('li', {}, `and ${found.length - LISTED} more`)] : []))]),
    ...peers.filter((one) => one.drifted).map(({ region, node, digest }) =>
      html('p', { class: 'warning' },
        `${MARKS.degraded} ${node} in ${region} serves another configuration: `,
        html('code', {}, digest), ' instead of ',
        html('code', {}, status.digest.slice(0, 12)))),
  ]);
}

const SEATS = { live: 'up', late: 'unknown', impaired: 'degraded', dead: 'down' };

function off(milliseconds) {
  const seconds = Math.abs(milliseconds) / 1000;
  return `${seconds.toFixed(0)} s ${milliseconds > 0 ? 'ahead of' : 'behind'}`;
}
