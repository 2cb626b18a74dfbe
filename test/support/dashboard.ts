import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { readAssets } from '../../host/dashboard/assets.js';
import { DesignRoom } from '../../host/dashboard/designs.js';
import { DashboardServer, type DashboardServerOptions } from '../../host/dashboard/server.js';
import { lastFirst, type Teardown } from './services.js';

/** The key that lets a test in. */
export const KEY = 'the-key-of-the-host-in-tests';

/** A dashboard in this process. */
export interface TestDashboard {
  readonly origin: string;
  /** The address that lets a browser in. */
  readonly url: string;
  readonly faults: readonly unknown[];
  /** Asks as its own page does. */
  ask(path: string, options?: AskOptions): Promise<Response>;
  /** The cookie of somebody who signed in with the key. */
  signIn(): Promise<string>;
  close(): Promise<void>;
}

interface AskOptions {
  readonly body?: unknown;
  readonly cookie?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function openDashboard(
  teardown: Teardown,
  amqp: DashboardServerOptions['amqp'],
  options: Partial<DashboardServerOptions> = {},
): Promise<TestDashboard> {
  const faults: unknown[] = [];
  const server = new DashboardServer({
    designs: new DesignRoom(() => Promise.resolve({ ok: false })),
    ...{ amqp, tls: undefined, names: [], maxBundleBytes: 1_048_576, hostKey: KEY, ownerToken: undefined },
    assets: readAssets(fileURLToPath(new URL('../../host/dashboard/app', import.meta.url))),
    onFault: (error) => faults.push(error),
    ...options,
  });
  const port = await server.listen('127.0.0.1', 0);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= server.close());
  lastFirst(teardown, close);
  const origin = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${String(port)}`;
  const ask: TestDashboard['ask'] = (path, { body, cookie, headers } = {}) =>
    fetch(`${origin}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: {
        ...(body === undefined ? {} : { origin, 'content-type': 'application/json' }),
        ...(cookie === undefined ? {} : { cookie }),
        ...headers,
      },
    });
  const signIn = async (): Promise<string> => {
    const answer = await ask('/api/sign-in', { body: { key: KEY } });
    assert.equal(answer.status, 200);
    return (answer.headers.get('set-cookie') ?? '').replace(/;.*/, '');
  };
  return { origin, url: `${origin}/#key=${KEY}`, faults, ask, signIn, close };
}

/** An order as the page makes it. */
export function order(op: string, input: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { id: randomUUID(), at: Date.now(), op, input };
}

/** What axe finds that is serious. n.b. it is put in as a script of the test, past the policy of the page. */
export async function seriousFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const results = await page.evaluate(async () => {
    const { axe: checker } = globalThis as unknown as { readonly axe: typeof axe };
    const { violations, passes } = await checker.run();
    if (passes.length < 10) throw new TypeError('axe has looked at next to nothing');
    return violations.map(({ id, impact, nodes }) => ({
      id,
      impact,
      where: nodes.map(({ html }) => html.slice(0, 160)),
    }));
  });
  return results
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, where }) => `${id}: ${where.join(' | ')}`);
}

/** Pictures that the docs show. */
const DOCS_PICTURES = {
  folder: 'host/docs/pictures',
  names: [
    ...['overview', 'trial', 'faults-desktop-light', 'logs-desktop-dark', 'graphs-desktop-light', 'stranger-phone'],
    ...['objects-desktop-light', 'users-desktop-light', 'dead-letters-desktop-light', 'audit-desktop-light'],
    ...['design-review-desktop-light', 'design-planned-phone-dark'],
  ],
} as const;

/** With BEDS_TEST_PICTURES=<folder>, what the page looks like now is kept there; with `docs`, what the docs show, in theirs. */
export async function picture(page: Page, name: string): Promise<void> {
  const wanted = process.env['BEDS_TEST_PICTURES'] ?? '';
  const isOfDocs = (DOCS_PICTURES.names as readonly string[]).includes(name);
  if (wanted === '' || (wanted === 'docs' && !isOfDocs)) return;
  const folder = wanted === 'docs' ? DOCS_PICTURES.folder : wanted;
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
