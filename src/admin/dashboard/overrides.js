// Overrides and drills: their clocks, and how to set and end them.

import { Problem, ask, request } from './api.js';
import { bare, by, count, countdown, html, percent, show, utc } from './dom.js';

const ends = new Map();

/** When an override ends, in milliseconds of this page. */
function end(one) {
  if (one.left_seconds === null || one.left_seconds === undefined) return null;
  const at = Math.round(performance.now() + one.left_seconds * 1000);
  const before = ends.get(one.id);
  // What is told in whole seconds must not make the clock jump.
  if (before === undefined || Math.abs(before - at) > 2500) ends.set(one.id, at);
  return ends.get(one.id);
}

/** Drills and single overrides: what belongs together has one clock and one button. */
function groups(overrides) {
  const drills = new Map();
  const alone = [];
  for (const one of overrides) {
    if (!one.drill) alone.push({ key: one.id, drill: null, parts: [one] });
    else if (drills.has(one.drill)) drills.get(one.drill).parts.push(one);
    else drills.set(one.drill, { key: `drill ${one.drill}`, drill: one.drill, parts: [one] });
  }
  return [...drills.values(), ...alone];
}

function left(parts) {
  const all = parts.map(end);
  return all.includes(null) ? null : Math.max(...all);
}

const VERBS = { up: 'forced up', down: 'forced down', drain: 'drained' };

function card({ key, drill, parts }, operates) {
  const [first] = parts;
  const until = left(parts);
  const what = parts.map((one) => html('div', { class: 'what' },
    html('code', {}, one.target), ` is ${VERBS[one.action] ?? one.action}`,
    one.scope === 'node' ? ' on this node alone' : ''));
  const by_ = `by ${first.author}, since ${utc(first.created)} UTC`;
  const left_ = until === null
    ? html('span', { class: 'countdown' }, 'until it is cleared')
    : html('span', {}, countdown(until), ' left');
  const about = drill ? [html('strong', {}, `Drill ${drill}`)] : [];
  return html('li', { class: drill ? 'card drill' : 'card', 'data-override': key },
    html('div', { class: 'line first' }, html('div', {}, ...about, ...what), left_),
    html('div', { class: 'dim' }, first.reason),
    html('div', { class: 'line dim' }, html('span', {}, by_),
      html('button', {
        type: 'button', class: 'danger', 'data-focus': `end ${key}`, disabled: !operates,
        title: operates ? null : 'This takes a token with the role operate',
        onclick: () => openEnd({ key, drill, parts }),
      }, drill ? 'End the drill' : 'End it')));
}

/** The list of overrides; `operates`: whether this reader may end them. */
export function list(status) {
  const operates = status.role !== 'read';
  by('force').disabled = !operates;
  by('force').title = operates ? '' : 'This takes a token with the role operate';
  const all = groups(status.overrides);
  const facts = status.overrides.map((one) => [one.id, one.reason, end(one)]);
  show(by('overrides'), [facts, operates], () => (all.length === 0
    ? html('li', { class: 'note' }, 'None is in force: health alone decides.')
    : all.map((group) => card(group, operates))));
}

/** Drills that were reported. */
export function drills(history) {
  const last = history.drills.slice(0, 3).map((one) =>
    [one.name, one.outcome, one.started, one.moved_ms, one.reason]);
  show(by('drills'), last, () => (last.length === 0 ? [] : [
    html('h3', {}, 'Last drills'),
    html('ul', { class: 'plain' }, ...last.map(([name, outcome, started, moved, reason]) => {
      const date = new Date(started * 1000).toISOString().slice(0, 16).replace('T', ' ');
      const words = moved === null ? '' : `, all moved within ${(moved / 1000).toFixed(1)} s`;
      const why = reason ? `: ${reason}` : '';
      return html('li', {}, `${name} ${outcome} (${date} UTC)${words}${why}`);
    })),
  ]));
}

function complain(form, error) {
  const place = form.querySelector('.problem');
  const hint = error instanceof Problem && error.hint ? ` – ${error.hint}` : '';
  place.textContent = error ? `${error.message}${hint}` : '';
  place.hidden = !error;
}

let ending = null;

async function openEnd(group) {
  const [form, dialog] = [by('end-form'), by('end')];
  form.reset();
  complain(form, null);
  const effect = group.parts.map((one) => (one.action === 'up'
    ? `${one.target} is judged by its probes again.`
    : `${one.target} takes clients again as soon as its probes say that it is up.`));
  by('end-title').textContent = group.drill
    ? `End the drill ${group.drill}?` : 'End this override?';
  form.querySelector('.about').replaceChildren(
    ...group.parts.map((one) => html('p', {}, html('code', {}, `${one.action} ${one.target}`),
      ` – ${one.reason}`)),
    html('p', { class: 'note' }, effect.join(' ')));
  const own = { group, revision: undefined };
  ending = own;
  const button = form.querySelector('[type=submit]');
  button.disabled = true;
  dialog.showModal();
  try {
    // What is ended is what the reader sees now.
    const listing = await ask('overrides');
    if (ending !== own) return;
    own.revision = listing.revision;
    button.disabled = false;
  } catch (error) {
    complain(form, error);
  }
}

async function carryOut(changed) {
  const { group, revision } = ending;
  const reason = by('end-form').elements.reason.value.trim();
  let match = revision;
  for (const one of group.parts) {
    const path = `overrides/${encodeURIComponent(one.id)}`;
    try {
      const done = await request('DELETE', path, { body: { reason }, match });
      match = done.revision;
      ending.revision = match;
    } catch (error) {
      // One that has ended meanwhile is what was wanted.
      if (error.status !== 404) throw error;
    }
  }
  ending = null;
  by('end').close();
  changed();
}

/** Tells the reader what an override would do to clients, before it is set. */
async function foresee(form) {
  const { action, target } = form.elements;
  const place = form.querySelector('.ahead');
  const wanted = target.value.trim();
  place.replaceChildren();
  if (!wanted || action.value === 'up') return;
  try {
    const how = action.value === 'drain' ? 'drain' : 'health';
    const plan = await request('POST', 'drills/preflight', {
      body: { name: 'dashboard', fail: [wanted], how },
    });
    if (target.value.trim() !== wanted) return;
    place.replaceChildren(...outlook(plan));
  } catch (error) {
    place.replaceChildren(html('p', { class: 'note' }, error.message));
  }
}

function outlook(plan) {
  const { services, survivors, refusals, notes } = plan;
  const concerned = services.slice(0, 4).map(bare).join(', ');
  const left = survivors.map(({ region, endpoints, load }) =>
    `${region} with ${count(endpoints, 'endpoint')}` +
    (load === null ? '' : `, at ${percent(load)} of its capacity`));
  return [
    html('p', { class: 'note' },
      `${count(services.length, 'service')} would change${concerned ? `: ${concerned}` : ''}.`),
    left.length > 0 ? html('p', { class: 'note' }, `What remains: ${left.join('; ')}.`) : '',
    ...notes.map((text) => html('p', { class: 'note' }, text)),
    ...refusals.map(({ what }) => html('p', { class: 'warning' }, `As a drill: ${what}`)),
  ];
}

async function set(changed) {
  const form = by('set-form');
  const { action, target, reason, anyway } = form.elements;
  const wish = {
    action: action.value, target: target.value.trim(), reason: reason.value.trim(),
    for_seconds: Number(form.elements.for.value), anyway: anyway.checked,
  };
  try {
    await request('POST', 'overrides', { body: wish });
  } catch (error) {
    // Only what takes away too much can be ordered all the same.
    form.querySelector('.anyway').hidden = !(error.status === 409 && error.body.losses);
    throw error;
  }
  by('set').close();
  changed();
}

function submit(form, act) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('[type=submit]');
    button.disabled = true;
    complain(form, null);
    try {
      await act();
    } catch (error) {
      complain(form, error);
      // Who tries again has been told, and sees what there is now behind the question.
      if (error.status === 412 && ending) ending.revision = error.body.revision;
    } finally {
      button.disabled = false;
    }
  });
  const cancel = form.querySelector('[value=cancel]');
  cancel.addEventListener('click', () => form.closest('dialog').close());
}

/** Makes the dialogs work; `changed` is called when something was set or ended. */
export function open(changed) {
  submit(by('end-form'), () => carryOut(changed));
  submit(by('set-form'), () => set(changed));
  const form = by('set-form');
  form.elements.target.addEventListener('change', () => foresee(form));
  form.elements.action.addEventListener('change', () => foresee(form));
  by('force').addEventListener('click', () => {
    form.reset();
    complain(form, null);
    form.querySelector('.ahead').replaceChildren();
    form.querySelector('.anyway').hidden = true;
    by('set').showModal();
  });
}

/** What overrides may be about. */
export function targets(status) {
  const pools = [...new Set(status.pools.map((pool) => pool.pool))];
  const all = [
    ...status.regions.map((one) => `region:${one.region}`),
    ...pools.map((name) => `pool:${name}`),
    ...status.endpoints.slice(0, 200).map((one) => `endpoint:${one.endpoint}`),
  ];
  show(by('targets'), all, () => all.map((value) => html('option', { value })));
}
