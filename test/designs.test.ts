import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { isBedsError } from '@beds/sdk';
import { type DesignOrder, type DesignOutcome, Designs } from '../host/admin/designs.js';
import type { DesignView } from '../host/admin/shown.js';
import { eventually } from './support/eventually.js';
import { lastFirst, temporaryDirectory } from './support/services.js';
import { SONGS_ANSWER, SONGS_BRIEF, songsWithYear } from './support/songs-design.js';

const MAIN = '[stores.main]\nkind = "mysql"\nurl = ""\n';

interface Room {
  readonly root: string;
  readonly faults: readonly string[];
  /** As a host that starts now finds them. */
  open(): Designs;
}

/** A project, with a configuration of its own. */
function room(t: TestContext, config = MAIN): Room {
  const root = temporaryDirectory(t);
  mkdirSync(join(root, 'config'));
  mkdirSync(join(root, 'plugins', 'cities'), { recursive: true });
  writeFileSync(join(root, 'config', 'beds.toml'), config);
  const faults: string[] = [];
  const open = (): Designs => {
    const designs = new Designs({
      ...{ directory: join(root, 'designs'), plugins: join(root, 'plugins'), projectRoot: root },
      onChange: () => undefined,
      onFault: (words) => faults.push(words),
    });
    lastFirst(t, () => designs.close());
    return designs;
  };
  return { root, faults, open };
}

/** Gives an order about what is there now, and waits for its end. */
async function step(designs: Designs, order: Omit<DesignOrder, 'seen' | 'domain'>): Promise<DesignOutcome> {
  const seen = designs.parts.find(({ domain }) => domain === 'songs')?.mark;
  return designs.begin({ domain: 'songs', ...order, ...(seen === undefined ? {} : { seen }) }, 'ann').ended;
}

function refused(work: () => unknown, code: string, words = /./): void {
  assert.throws(work, (error: unknown) => {
    assert.ok(isBedsError(error), String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  });
}

const view = (designs: Designs): DesignView => designs.view('songs');

/** An endpoint that answers when it is told to. */
async function model(t: TestContext): Promise<{ readonly url: string; readonly waiting: ServerResponse[] }> {
  const waiting: ServerResponse[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      waiting.push(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  lastFirst(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`, waiting };
}

function say(response: ServerResponse | undefined, content: string): void {
  const choice = (delta: object, finish_reason: string | null): string =>
    `data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  response?.end(`${choice({ content }, null)}${choice({}, 'stop')}data: [DONE]\n\n`);
}

const withModel = (url: string): string => `${MAIN}[assistant]\nprovider = "openai"\nmodel = "m"\nurl = "${url}"\n`;

describe('designs', { timeout: 300_000 }, () => {
  it('go from a brief over an answer to what a person reads, and are there after a restart', async (t) => {
    const { root, open } = room(t);
    const designs = open();
    assert.deepEqual(await step(designs, { step: 'begin', text: SONGS_BRIEF }), { outcome: 'ok', words: 'waiting' });
    assert.match(view(designs).prompt ?? '', /Songs with a rating from 1 to 5 <script>/);
    await step(designs, { step: 'answer', text: 'I cannot do that.' });
    assert.equal(view(designs).stage, 'waiting');
    assert.match(
      view(designs)
        .problems.map(({ message }) => message)
        .join(),
      /no JSON object/,
    );
    await step(designs, { step: 'answer', text: SONGS_ANSWER });
    const made = view(designs);
    assert.equal(made.stage, 'review', JSON.stringify(made.failure));
    assert.match(made.words, /## song: A song/);
    assert.ok(
      made.files.some(
        ({ name, text }) => /^db\/\d+-table-songs_song\.sql$/.test(name) && text.includes('CREATE TABLE'),
      ),
    );
    assert.ok(!existsSync(join(root, 'designs', 'songs', 'db')), 'nobody has taken it yet');
    assert.deepEqual(open().view('songs'), made);
    assert.deepEqual(
      open().parts.map(({ domain, stage }) => ({ domain, stage })),
      [{ domain: 'songs', stage: 'review' }],
    );
  });

  it('take a text for a text, whatever it begins with', async (t) => {
    const { root, open } = room(t);
    const designs = open();
    await step(designs, { step: 'begin', text: '--yes --store=other --file=/etc/passwd' });
    assert.match(view(designs).prompt ?? '', /--yes --store=other --file=\/etc\/passwd/);
    await step(designs, { step: 'answer', text: SONGS_ANSWER.replace('"sentence":2', '"sentence":1') });
    assert.equal(view(designs).stage, 'review', JSON.stringify(view(designs)));
    await step(designs, { step: 'change', text: '--yes' });
    assert.match(view(designs).prompt ?? '', /--yes/);
    assert.ok(!existsSync(join(root, 'designs', 'songs', 'template.ts')));
  });

  it('refuse what is not the next step, what was not seen, and names that are taken', async (t) => {
    const { root, open } = room(t);
    const designs = open();
    const begin = (order: Partial<DesignOrder>): unknown =>
      designs.begin({ domain: 'songs', step: 'begin', text: SONGS_BRIEF, ...order }, 'ann');
    refused(() => begin({ domain: 'cities' }), 'BEDS_ADMIN_DESIGN_EXISTS');
    refused(() => begin({ store: 'other' }), 'BEDS_ADMIN_INVALID', /no store other.*main/);
    refused(() => begin({ text: ' \n' }), 'BEDS_ADMIN_INVALID', /empty/);
    refused(() => begin({ text: 'x'.repeat(20_001) }), 'BEDS_ADMIN_INVALID', /20,000/);
    refused(() => begin({ step: 'plan' }), 'BEDS_ADMIN_DESIGN_UNKNOWN');
    refused(() => designs.view('../../etc'), 'BEDS_ADMIN_DESIGN_UNKNOWN');
    assert.ok(!existsSync(join(root, '.beds')), 'nothing is written of what was refused');
    await step(designs, { step: 'begin', text: SONGS_BRIEF });
    refused(() => begin({}), 'BEDS_ADMIN_DESIGN_EXISTS');
    const seen = view(designs).mark;
    for (const each of ['change', 'prove', 'plan', 'apply', 'contract', 'undo', 'stop'] as const)
      refused(() => begin({ step: each, seen }), 'BEDS_ADMIN_DESIGN_STEP');
    refused(() => begin({ step: 'answer', text: SONGS_ANSWER }), 'BEDS_ADMIN_DESIGN_OVERTAKEN');
    await step(designs, { step: 'answer', text: SONGS_ANSWER });
    refused(() => begin({ step: 'change', text: 'More.', seen }), 'BEDS_ADMIN_DESIGN_OVERTAKEN');
    for (const each of ['plan', 'apply', 'contract', 'undo'] as const)
      refused(() => begin({ step: each, seen: view(designs).mark }), 'BEDS_ADMIN_DESIGN_STEP');
  });

  it('are again what they were where a change is dropped', async (t) => {
    const { root, open } = room(t);
    const designs = open();
    await step(designs, { step: 'begin', text: SONGS_BRIEF });
    await step(designs, { step: 'answer', text: SONGS_ANSWER });
    const before = view(designs);
    await step(designs, { step: 'change', text: 'Songs get a year.' });
    assert.equal(view(designs).stage, 'waiting');
    refused(
      () => designs.begin({ domain: 'songs', step: 'change', text: 'Another.', seen: view(designs).mark }, 'ann'),
      'BEDS_ADMIN_DESIGN_STEP',
    );
    await step(designs, { step: 'answer', text: songsWithYear(1) });
    assert.match(view(designs).words, /Year of the song/, JSON.stringify(view(designs).problems));
    assert.match(view(designs).document, /"revision": 2/);
    assert.equal((await step(designs, { step: 'drop-change' })).outcome, 'ok');
    assert.deepEqual({ ...view(designs), mark: '' }, { ...before, mark: '' });
    assert.ok(!existsSync(join(root, '.beds', 'design', 'songs', 'change-1')));
    await step(designs, { step: 'change', text: 'Another.' });
    assert.match(view(designs).prompt ?? '', /Another\./);
    refused(
      () => designs.begin({ domain: 'songs', step: 'prove', seen: view(designs).mark }, 'ann'),
      'BEDS_ADMIN_DESIGN_STEP',
    );
  });

  it('are set aside with their files, and their name is free again', async (t) => {
    const { root, open } = room(t);
    const designs = open();
    await step(designs, { step: 'begin', text: SONGS_BRIEF });
    await step(designs, { step: 'answer', text: SONGS_ANSWER });
    const { words } = await step(designs, { step: 'set-aside' });
    const [, place = ''] = /^moved to (.*)$/.exec(words) ?? [];
    assert.ok(readFileSync(join(place, 'domain', 'domain.json'), 'utf8').includes('songs'));
    assert.equal(readFileSync(join(place, 'design', 'brief.md'), 'utf8'), `${SONGS_BRIEF}\n`);
    assert.deepEqual(designs.parts, []);
    assert.ok(!existsSync(join(root, 'designs', 'songs')));
    assert.equal((await step(designs, { step: 'begin', text: 'Something else.' })).outcome, 'ok');
  });

  it('are worked on by one at a time, stopped by whoever may, and go on from there', async (t) => {
    const { url, waiting } = await model(t);
    const { open } = room(t, withModel(url));
    const designs = open();
    const begun = step(designs, { step: 'begin', text: SONGS_BRIEF });
    await eventually('the model is asked', () => waiting.length === 1);
    const { working } = view(designs);
    assert.equal(working?.by, 'ann');
    await eventually('it is said what goes on', () =>
      view(designs).working?.lines.some((line) => line.includes('m is asked')),
    );
    refused(
      () => designs.begin({ domain: 'songs', step: 'go-on', seen: view(designs).mark }, 'bob'),
      'BEDS_ADMIN_DESIGN_BUSY',
      /^ann works on songs/,
    );
    await step(designs, { step: 'stop' });
    assert.equal((await begun).outcome, 'BEDS_ADMIN_DESIGN_STOPPED');
    assert.match(view(designs).failure?.message ?? '', /stopped by ann/);
    assert.equal(view(designs).working, undefined);
    const again = step(designs, { step: 'go-on' });
    await eventually('the model is asked again', () => waiting.length === 2);
    say(waiting[1], SONGS_ANSWER);
    assert.equal((await again).outcome, 'ok');
    assert.equal(view(designs).stage, 'review', JSON.stringify(view(designs).failure));
    assert.equal(view(designs).failure, undefined);
  });

  it('wait for what a host that was lost has left, and go on from there', async (t) => {
    const { url, waiting } = await model(t);
    const { open } = room(t, withModel(url));
    const lost = open();
    const begun = step(lost, { step: 'begin', text: SONGS_BRIEF });
    await eventually('the model is asked', () => waiting.length === 1);
    const next = open();
    assert.equal(view(next).interrupted, 'begin');
    const goOn = (): { readonly ended: Promise<DesignOutcome> } =>
      next.begin({ domain: 'songs', step: 'go-on', seen: view(next).mark }, 'bob');
    refused(goOn, 'BEDS_ADMIN_DESIGN_BUSY', /begun before this host/);
    await lost.close();
    await begun;
    refused(goOn, 'BEDS_ADMIN_DESIGN_OVERTAKEN');
    const { ended } = goOn();
    await eventually('the model is asked again', () => waiting.length === 2);
    say(waiting[1], SONGS_ANSWER);
    assert.equal((await ended).outcome, 'ok');
    assert.equal(view(next).stage, 'review');
  });

  it('say what a command says that fails', async (t) => {
    const { open, root } = room(t);
    const designs = open();
    writeFileSync(join(root, 'config', 'beds.toml'), '[assistant]\nprovider = "nobody"\n');
    assert.equal((await step(designs, { step: 'begin', text: SONGS_BRIEF })).outcome, 'BEDS_CONFIG_INVALID');
    assert.match(view(designs).failure?.message ?? '', /assistant\.provider/);
    writeFileSync(join(root, 'config', 'beds.toml'), MAIN);
    assert.equal((await step(designs, { step: 'go-on' })).outcome, 'ok');
    assert.equal(view(designs).stage, 'waiting');
  });
});
