// The dashboard: asks the node, listens to what happens there, and shows both.

import { Problem, ask, stream, token } from './api.js';
import * as charts from './charts.js';
import { bare, by, html, show, state, tick, utc } from './dom.js';
import * as explain from './explain.js';
import * as fleet from './fleet.js';
import * as map from './map.js';
import * as overrides from './overrides.js';

/** How often the node is asked while nothing happens, in milliseconds. */
const [LOOK, LOOK_HIDDEN, SURVEY] = [2000, 15000, 10000];
/** Between two readings while much happens. */
const STORM = 200;
/** What is older is no longer taken for what is. */
const STALE = 6000;
/** Happenings that are kept, as many as the node keeps. */
const KEPT = 512;

const told = {
  status: null, flows: null, events: [], heard: 0, seen: 0, error: null, streaming: false,
};
let running = null;
let [looking, wanted, surveyed] = [false, false, 0];

/** Everything that is shown, from what was told last. */
function draw() {
  const { status, flows, events } = told;
  link();
  if (!status) return;
  const regions = fleet.survey(status, charts.rates());
  fleet.verdict(status, regions, flows);
  fleet.listRegions(regions, flows, pick);
  fleet.listPools(status, regions);
  fleet.listEndpoints(status, by('find').value, by('troubled').checked);
  fleet.config(status, regions, status.time_ms - told.wall);
  map.draw(regions, flows, pick);
  overrides.list(status);
  overrides.targets(status);
  explain.choices(flows?.services ?? [], regions);
  charts.draw(status, events);
  charts.list(events);
  const ready = status.ready ? state('up', 'ready') : state('down', 'not ready');
  show(by('node'), [status.node, status.region, status.generation, status.ready], () => [
    html('strong', {}, status.node), html('span', { class: 'dim' }, ` in ${status.region} `),
    ready, html('span', { class: 'dim' }, ` generation ${status.generation}`),
  ]);
  services(flows);
}

/** A region that was chosen is looked for among the endpoints. */
function pick(name) {
  by('find').value = by('find').value === name ? '' : name;
  draw();
  by('pools-title').scrollIntoView({ block: 'start' });
}

/** The services to choose from; what is chosen stays. */
function services(flows) {
  const select = by('service');
  const names = flows?.services ?? [];
  const chosen = select.value;
  show(select, names, () => names.map((name) => html('option', { value: name }, bare(name))));
  select.disabled = names.length === 0;
  if (names.includes(chosen)) select.value = chosen;
}

/** How fresh what is shown is. */
function link() {
  const now = performance.now();
  const old = now - told.seen;
  const fresh = told.seen > 0 && old < (document.hidden ? LOOK_HIDDEN + STALE : STALE);
  document.body.classList.toggle('stale', told.seen > 0 && !fresh);
  const [name, words] = fresh
    ? (told.streaming ? ['up', 'live'] : ['degraded', 'asking, no events'])
    : (told.seen > 0 ? ['down', 'connection lost'] : ['unknown', 'connecting']);
  show(by('link'), [name, words], () => state(name, words));
  const lost = by('lost');
  lost.hidden = fresh || (told.seen === 0 && told.error === null);
  const why = told.error ? ` (${told.error.message})` : '';
  const what = told.seen > 0
    ? `Connection lost${why}: all below is as it was at ${utc(told.wall / 1000)} UTC. Trying again.`
    : `The node does not answer${why}. Trying again.`;
  if (!lost.hidden && lost.textContent !== what) lost.textContent = what;
}

/** Shows who must sign in, and stops asking until they have. */
function denied(error) {
  running?.abort();
  running = null;
  by('login').querySelector('.problem').hidden = !token.get() && error.status === 401;
  by('login').querySelector('.problem').textContent = error.status === 401
    ? 'This node does not know the token.' : `${error.message} – ${error.hint}`;
  token.forget();
  by('leave').hidden = true;
  if (!by('login').open) by('login').showModal();
}

function failed(error) {
  if (error instanceof Problem && (error.status === 401 || error.status === 429)) denied(error);
  else told.error = error;
  link();
}

/** Reads the state, once at a time; who asks meanwhile is served by one more reading. */
async function look() {
  if (looking) {
    wanted = true;
    return;
  }
  looking = true;
  try {
    do {
      wanted = false;
      const status = await ask('status');
      if (told.status && status.queries < told.status.queries) told.flows = null;
      Object.assign(told, { status, seen: performance.now(), wall: Date.now(), error: null });
      charts.sample(status);
      draw();
      if (wanted || performance.now() - surveyed > SURVEY) await survey();
      // In a storm of flips a node has better things to do than to tell of each.
      if (wanted) await new Promise((done) => setTimeout(done, STORM));
    } while (wanted && running);
  } catch (error) {
    failed(error);
  } finally {
    looking = false;
  }
}

/** Reads who is sent where. */
async function survey() {
  surveyed = performance.now();
  try {
    told.flows = await ask('flows', { service: by('service').value });
  } catch (error) {
    // A service that is gone; the first one is shown again.
    if (error.status !== 404) throw error;
    by('service').replaceChildren();
    told.flows = await ask('flows');
  }
  draw();
}

/** Something has happened: the state is read anew. */
function changed() {
  surveyed = -SURVEY;
  look();
}

/** Reads what is known of the past. */
async function recall() {
  const [history, past] = await Promise.all([ask('history'), ask('drills')]);
  charts.remember(history);
  overrides.drills(past);
  draw();
}

function heard(kind, id, event) {
  if (kind === 'resync') {
    const [epoch, number] = id.split('-');
    // The node keeps the last happenings for readers that come back.
    const from = Math.max(0, Number(number) - KEPT + 8);
    told.last = Number(number) > 0 && told.resynced !== epoch ? `${epoch}-${from}` : id;
    const again = told.last !== id;
    told.resynced = epoch;
    told.events = [];
    recall().catch(failed);
    changed();
    return again;
  }
  told.last = id;
  told.events = [...told.events, { ...event, kind }].slice(-KEPT);
  if (kind.startsWith('drill')) recall().catch(failed);
  changed();
  return false;
}

/** Listens as long as the page is there; a stream ends every few minutes by itself. */
async function listen(stop) {
  let pause = 250;
  while (!stop.aborted) {
    const turn = new AbortController();
    const hear = (kind, id, event) => {
      if (heard(kind, id, event)) turn.abort();
    };
    const alive = () => {
      told.streaming = true;
      pause = 250;
      link();
    };
    try {
      await stream(told.last, hear, alive, AbortSignal.any([stop, turn.signal]));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) failed(error);
    }
    // What was missed meanwhile is told, or read.
    if (turn.signal.aborted) continue;
    told.streaming = false;
    link();
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 5000);
  }
}

async function start() {
  running = new AbortController();
  const stop = running.signal;
  by('leave').hidden = !token.get();
  // One request shows whether the token is known; a node counts those without rights.
  await look();
  if (stop.aborted) return;
  listen(stop);
  const again = async () => {
    if (stop.aborted) return;
    const begun = performance.now();
    await look();
    // A large fleet takes longer to tell of; it is not asked all the time.
    const rest = Math.max(document.hidden ? LOOK_HIDDEN : LOOK, 10 * (performance.now() - begun));
    setTimeout(again, Math.min(rest, LOOK_HIDDEN));
  };
  setTimeout(again, LOOK);
}

by('login-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = by('login-form').elements.token;
  token.set(field.value.trim());
  field.value = '';
  by('login').close();
  start();
});
// Without a token there is nothing to show behind it.
by('login').addEventListener('cancel', (event) => event.preventDefault());
by('leave').addEventListener('click', () => {
  token.forget();
  // Nothing of what was shown stays in the page.
  location.reload();
});
by('service').addEventListener('change', changed);
by('find').addEventListener('input', draw);
by('troubled').addEventListener('change', draw);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && running) changed();
});
new ResizeObserver(() => told.status && charts.draw(told.status, told.events)).observe(by('rate'));
setInterval(() => {
  tick();
  link();
  show(by('clock'), utc(Date.now() / 1000), () => `${utc(Date.now() / 1000)} UTC`);
}, 1000);
map.open();
overrides.open(changed);
explain.open((found) => {
  const names = (found?.steering?.tied ?? []).map((one) => one.region);
  map.client(found?.steering?.located ?? null, names, told.status?.regions ?? []);
});
start();
