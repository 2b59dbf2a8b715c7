// Elements from data, and data in words. Texts become text nodes, never markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; children are nodes or texts. */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const by = (id) => document.getElementById(id);

const shown = new Map();

/**
 * Builds the content of an element anew when what it shows has changed; who had the focus inside
 * gets it back, by its `data-focus`.
 */
export function show(element, data, build) {
  const mark = JSON.stringify(data);
  if (shown.get(element) === mark) return;
  shown.set(element, mark);
  const focused = element.contains(document.activeElement)
    ? document.activeElement.getAttribute('data-focus')
    : null;
  element.replaceChildren(...[build()].flat());
  if (focused !== null) {
    const again = [...element.querySelectorAll('[data-focus]')];
    again.find((one) => one.getAttribute('data-focus') === focused)?.focus();
  }
  tick();
}

/** Seconds in words, of two units at most. */
export function time(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** What is left, as a clock shows it. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** A share from 0 to 1. */
export function percent(share) {
  const value = share * 100;
  return value > 0 && value < 10 ? `${value.toFixed(1)} %` : `${value.toFixed(0)} %`;
}

/** A rate. */
export function rate(number) {
  if (number >= 100000) return `${(number / 1000).toFixed(0)} k`;
  if (number >= 10000) return `${(number / 1000).toFixed(1)} k`;
  return number >= 100 || Number.isInteger(number) ? number.toFixed(0) : number.toFixed(1);
}

/** A name without the dot of the root. */
export function bare(name) {
  return name.replace(/(.)\.$/, '$1');
}

export function count(number, word) {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

/** A time of day, UTC, from seconds since 1970. */
export function utc(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

/** An element that goes on telling how long ago `since` was, in milliseconds of this page. */
export function age(since) {
  return html('time', { 'data-since': since }, time((performance.now() - since) / 1000));
}

/** An element that goes on telling how long it is until `end`. */
export function countdown(end) {
  const left = clock((end - performance.now()) / 1000);
  return html('time', { 'data-until': end, class: 'countdown' }, left);
}

/** Lets all ages and countdowns go on. */
export function tick() {
  const now = performance.now();
  for (const one of document.querySelectorAll('[data-since]')) {
    const text = time((now - Number(one.dataset.since)) / 1000);
    if (one.textContent !== text) one.textContent = text;
  }
  for (const one of document.querySelectorAll('[data-until]')) {
    const text = clock((Number(one.dataset.until) - now) / 1000);
    if (one.textContent !== text) one.textContent = text;
  }
}

/** What each state looks like, beside its colour. */
export const MARKS = {
  up: '✓',
  degraded: '▲',
  unknown: '?',
  drained: '‖',
  down: '✕',
  empty: '–',
};

/** A state as mark and word. */
export function state(name, word = name) {
  const mark = html('span', { 'aria-hidden': 'true', class: 'mark' }, MARKS[name] ?? '•');
  return html('span', { class: `state ${name}` }, mark, ` ${word}`);
}
