// Drives a real browser for the tests of the dashboard: one order a line on standard input, one
// reply a line on standard output.
//
// Usage: node driver.mjs FOLDER CHROMIUM; FOLDER has the packages playwright-core and axe-core

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [folder, executablePath] = process.argv.slice(2);
const load = createRequire(resolve(folder, 'package.json'));
const { chromium } = load('playwright-core');
const axe = readFileSync(load.resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({
  executablePath,
  // The tests run as root on some machines, and with little shared memory on others.
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
});
let context;
let page;
let protocol;
let complaints = [];

/** The value of an expression in the page, whatever the page's policy forbids itself. */
async function evaluate(expression) {
  const { result, exceptionDetails } = await protocol.send('Runtime.evaluate', {
    expression, returnByValue: true, awaitPromise: true,
  });
  if (exceptionDetails) {
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }
  return result.value ?? null;
}

const orders = {
  /** A new page in a context of its own. */
  async open({ url, width, height, dark }) {
    await context?.close();
    context = await browser.newContext({
      viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce',
    });
    page = await context.newPage();
    protocol = await context.newCDPSession(page);
    complaints = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(request.url());
    });
    await page.goto(url);
  },
  reload: () => page.reload(),
  evaluate: ({ expression }) => evaluate(expression),
  click: ({ at }) => page.click(at),
  fill: ({ at, text }) => page.fill(at, text),
  choose: ({ at, text }) => page.selectOption(at, text),
  press: ({ key }) => page.keyboard.press(key),
  /** What the page has complained of so far. */
  complaints: () => complaints.splice(0),
  /** A picture of the whole page; hiding the caret would put a style into it. */
  async shot({ path }) {
    await evaluate('scrollTo(0, 0)');
    await page.screenshot({ path, fullPage: true, caret: 'initial' });
  },
  /** The serious faults that axe finds, in words. */
  async faults() {
    await evaluate(`${axe};null`);
    return evaluate(`axe.run(document, { resultTypes: ['violations'] }).then((found) =>
      found.violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map((one) =>
        one.id + ': ' + one.nodes.slice(0, 3).map((node) =>
          node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | ')))`);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...rest } = JSON.parse(line);
  let reply;
  try {
    reply = { value: (await orders[order](rest)) ?? null };
  } catch (error) {
    reply = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
await browser.close();
