// The explain box: the decision behind an answer, step by step.

import { Problem, ask } from './api.js';
import { bare, by, html, percent, show, state } from './dom.js';

function row(name, ...content) {
  return html('div', { class: 'step' }, html('dt', {}, name), html('dd', {}, ...content));
}

function line(...content) {
  return html('div', {}, ...content);
}

function place(located) {
  const { address, country, continent, latitude, longitude, asn, network } = located;
  const words = [address];
  if (country || continent) words.push([country, continent].filter(Boolean).join(', '));
  if (typeof latitude === 'number') words.push(`${latitude.toFixed(1)}, ${longitude.toFixed(1)}`);
  if (asn) words.push(`AS${asn}`);
  if (network) words.push(`network ${network}`);
  if (words.length === 1) words.push('nobody knows where');
  return words.join(' · ');
}

function health(one) {
  const votes = one.votes.length > 1
    ? ` – ${one.votes.map((v) => `${v.vantage} says ${v.verdict}`).join(', ')}` : '';
  return line(state(one.health), ` ${one.pool} ${one.region} `, html('code', {}, one.endpoint),
    ` (${one.cause})${votes}`);
}

function ranking({ method, spoke, tiers }) {
  const said = spoke ? tiers.map((tier) => tier.join(' = ')).join(' › ') : 'nothing to add';
  return line(html('strong', {}, method), ` ${said}`);
}

function trips({ known, estimates, explored }) {
  if (!known) return [row('Round trips', 'nothing but distance is known')];
  const told = estimates.map(({ region, ms, source, samples }) =>
    line(`${region} ${ms} ms: ${source}${samples ? `, ${samples} samples` : ''}`));
  if (explored) {
    told.push(line(`${percent(explored.share)} of answers explore ${explored.regions.join(', ')}`));
  }
  return [row('Round trips', ...told)];
}

function load({ region, requests, capacity, clients, is_full: full }) {
  const number = (value) => (typeof value === 'number' ? value.toFixed(0) : '?');
  const away = clients.map(([to, share]) => `${to} ${percent(share)}`).join(', ');
  return line(`${region} ${number(requests)} of ${number(capacity)} requests/s`,
    away ? `, its clients go to ${away}` : '', full ? '; all regions are full' : '');
}

function steps(decision) {
  const { returning, eligible, tied } = decision;
  const rows = [row('Client', place(decision.located))];
  rows.push(row('Health', ...decision.endpoints.map(health)));
  if (returning.length > 0) {
    const back = returning.map(({ region, share }) => `${region} with ${percent(share)}`);
    rows.push(row('Coming back', back.join(', ')));
  }
  rows.push(row('Eligible', eligible
    ? `pool ${eligible.pool}: regions ${eligible.grade}` : 'nothing'));
  if (decision.round_trips) rows.push(...trips(decision.round_trips));
  if (decision.ranking.length > 0) rows.push(row('Ranking', ...decision.ranking.map(ranking)));
  if (decision.loads.length > 0) rows.push(row('Load', ...decision.loads.map(load)));
  rows.push(row('Outcome', decision.outcome, ...tied.map((one) =>
    line(html('code', {}, one.address), ` in ${one.region}, share ${percent(one.share)}`))));
  rows.push(row('Pick', decision.pick));
  rows.push(row('TTL', `${decision.ttl} s: ${decision.ttl_reason}`));
  return rows;
}

function answer(told) {
  const { name, type, client, resolver, rcode, answers, steering, scope } = told;
  const through = resolver ? ` through ${resolver}` : '';
  const records = answers.map((one) => html('li', {},
    html('code', {}, `${one.owner} ${one.ttl} ${one.type} ${one.data}`)));
  const holds = told.holds_for
    ? `/${scope}: the same for all of ${told.holds_for}` : '/0: the same for all clients';
  const why = {
    REFUSED: 'No zone of this node holds the name.',
    SERVFAIL: 'The zone has mistakes; `meridian check` shows them.',
  };
  return [
    html('p', { class: 'asked' }, `${name} ${type} for ${client}${through}: `,
      html('strong', {}, rcode)),
    html('ul', { class: 'records' }, ...records),
    steering
      ? html('dl', { class: 'steps' }, row('Scope', holds), ...steps(steering))
      : html('p', { class: 'note' }, why[rcode] ?? 'No service steers this answer.'),
  ];
}

/** Makes the form work; `found` gets each explanation, or `null`. */
export function open(found) {
  const form = by('explain');
  let turn = 0;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    turn += 1;
    const own = turn;
    const { name, type, client, resolver, down } = form.elements;
    const query = {
      name: name.value.trim(), type: type.value, client: client.value.trim(),
      resolver: resolver.value.trim(), down: down.value,
    };
    const place = by('explained');
    place.setAttribute('aria-busy', 'true');
    try {
      const told = await ask('explain', query);
      if (own !== turn) return;
      place.replaceChildren(...answer(told));
      found(told);
    } catch (error) {
      if (own !== turn) return;
      const hint = error instanceof Problem && error.hint ? ` – ${error.hint}` : '';
      const text = `${error.message}${hint}`;
      place.replaceChildren(html('p', { class: 'problem', role: 'alert' }, text));
      found(null);
    } finally {
      place.removeAttribute('aria-busy');
    }
  });
}

/** What may be asked for. */
export function choices(services, regions) {
  show(by('services'), services, () => services.map((name) =>
    html('option', { value: bare(name) })));
  const names = regions.map((one) => one.region);
  const select = by('explain').elements.down;
  const chosen = select.value;
  show(select, names, () => [html('option', { value: '' }, 'nothing'),
    ...names.map((name) => html('option', { value: name }, name))]);
  if (names.includes(chosen)) select.value = chosen;
}
