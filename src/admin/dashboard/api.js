// Requests to the node that served this page, and the stream of what happens there.

const KEY = 'meridian.token';
/** A node that says nothing for so long is as good as gone; its stream has a beat every 10 s. */
const SILENCE = 15000;
const PATIENCE = 10000;

/** What the node says when it does not do what it is asked. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.error ?? body.title ?? `status ${status}`);
    this.status = status;
    this.hint = body.hint ?? '';
    this.body = body;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

function head(more) {
  const own = token.get();
  return own ? { ...more, Authorization: `Bearer ${own}` } : more;
}

async function refused(reply) {
  const body = await reply.json().catch(() => ({}));
  return new Problem(reply.status, body);
}

/** Asks for JSON below /api/v1; `query` has names and values. */
export async function ask(path, query = {}) {
  return request('GET', path, { query });
}

/** A request; the reply's JSON. */
export async function request(method, path, { query = {}, body, match } = {}) {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.append(name, value);
  }
  const headers = head({});
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (match !== undefined) headers['If-Match'] = `"${match}"`;
  const reply = await fetch(url, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: 'no-store',
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (!reply.ok) throw await refused(reply);
  return reply.json();
}

/** Splits the text of a stream into events. */
class Parts {
  text = '';
  *take(more) {
    this.text += more;
    for (;;) {
      const end = this.text.indexOf('\n\n');
      if (end < 0) return;
      const event = { kind: '', id: '', data: '' };
      for (const line of this.text.slice(0, end).split('\n')) {
        const at = line.indexOf(': ');
        const value = line.slice(at + 2);
        if (line.startsWith('event: ')) event.kind = value;
        if (line.startsWith('id: ')) event.id = value;
        if (line.startsWith('data: ')) event.data += value;
      }
      this.text = this.text.slice(end + 2);
      if (event.kind) yield event;
    }
  }
}

/**
 * Reads the stream of events until it ends: an EventSource cannot send a token. `heard` gets each
 * event, `alive` is called with every sign of life.
 */
export async function stream(last, heard, alive, stop) {
  const cut = new AbortController();
  const give = () => cut.abort();
  stop.addEventListener('abort', give);
  let silence = setTimeout(give, SILENCE);
  try {
    const headers = head(last ? { 'Last-Event-ID': last } : {});
    const url = new URL('api/v1/events', document.baseURI);
    const reply = await fetch(url, { headers, cache: 'no-store', signal: cut.signal });
    if (!reply.ok) throw await refused(reply);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    const parts = new Parts();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(give, SILENCE);
      alive();
      for (const { kind, id, data } of parts.take(value)) heard(kind, id, JSON.parse(data || '{}'));
    }
  } finally {
    clearTimeout(silence);
    stop.removeEventListener('abort', give);
    cut.abort();
  }
}
