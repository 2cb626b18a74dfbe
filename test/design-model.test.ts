import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type AuthorContext, AUTHOR_COMMANDS, type AuthorTools, createOutput, EXIT, runProgram } from '#sdk/cli';
import { SEATS } from '#sdk/spec';
import { createTools } from '../host/author/index.js';

const BRIEF = 'Seats of events. Never more than eight seats for a session.';
const COVERED = JSON.stringify({
  ...(JSON.parse(SEATS) as object),
  covers: [
    { sentence: 1, paths: ['records.event'] },
    { sentence: 2, paths: ['actions.hold'] },
  ],
});
const KEY = 'sk-very-secret-0123456789';
const PROTOCOLS = ['openai', 'anthropic'] as const;
type Protocol = (typeof PROTOCOLS)[number];

/** What the endpoint does with one request. */
type Reply =
  | { readonly status: number; readonly says?: string; readonly headers?: Readonly<Record<string, string>> }
  | {
      readonly text: string;
      /** `breaks`: the connection ends in the middle. `hangs`: nothing comes after the text. */
      readonly end?: 'stop' | 'length' | 'refusal' | 'breaks' | 'hangs';
      /** Tokens of the prompt and of the answer; absent: it counts none, where the protocol allows that. */
      readonly used?: readonly [number, number];
    };

interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: {
    readonly max_tokens?: number;
    readonly max_completion_tokens?: number;
    readonly stream_options?: object;
    readonly response_format?: { readonly type: string };
    readonly output_config?: { readonly format: { readonly type: string } };
  };
}

/** An endpoint on this machine that speaks both protocols, and answers with what was recorded. */
async function endpoint(
  t: TestContext,
  replies: readonly Reply[],
): Promise<{ readonly url: string; readonly asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => (text += part));
    request.on('end', () => {
      const path = request.url ?? '';
      const reply = replies[asked.length] ?? { status: 418, says: 'nothing is left to say' };
      asked.push({ path, headers: request.headers, text, body: JSON.parse(text) as Asked['body'] });
      if ('status' in reply) {
        response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
        response.end(JSON.stringify({ type: 'error', error: { type: 'said', message: reply.says ?? 'no' } }));
      } else {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        (path === '/v1/messages' ? speakMessages : speakCompletions)(response, reply);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`, asked };
}

type Spoken = Extract<Reply, { readonly text: string }>;

function speakCompletions(response: ServerResponse, { text, end = 'stop', used }: Spoken): void {
  const say = (more: object): unknown =>
    response.write(`data: ${JSON.stringify({ id: 'c', created: 1, model: 'm', ...more })}\n\n`);
  const choose = (delta: object, finish_reason: string | null): unknown =>
    say({ choices: [{ index: 0, delta, finish_reason }] });
  for (const content of pieces(text)) choose(end === 'refusal' ? { refusal: content } : { content }, null);
  if (end === 'hangs') return;
  if (end === 'breaks') return void response.destroy();
  choose({}, end === 'length' ? 'length' : 'stop');
  if (used !== undefined)
    say({
      choices: [],
      usage: { prompt_tokens: used[0], completion_tokens: used[1], total_tokens: used[0] + used[1] },
    });
  response.end('data: [DONE]\n\n');
}

function speakMessages(response: ServerResponse, { text, end = 'stop', used = [0, 0] }: Spoken): void {
  const say = (type: string, more: object): unknown =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`);
  const message = {
    id: 'm',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
  say('message_start', { message: { ...message, usage: { input_tokens: used[0], output_tokens: 1 } } });
  say('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
  for (const piece of pieces(text))
    say('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
  if (end === 'hangs') return;
  if (end === 'breaks') return void response.destroy();
  const stop_reason = { stop: 'end_turn', length: 'max_tokens', refusal: 'refusal' }[end];
  say('content_block_stop', { index: 0 });
  say('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: used[1] } });
  say('message_stop', {});
  response.end();
}

function pieces(text: string): readonly string[] {
  return text.match(/[^]{1,997}/g) ?? [];
}

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Given {
  readonly provider: Protocol;
  readonly url: string;
  /** Further lines of [assistant]. */
  readonly more?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly change?: (tools: AuthorTools) => void;
}

interface Project {
  readonly root: string;
  readonly beds: (...args: string[]) => Promise<Ran>;
  readonly design: (...args: string[]) => Promise<Ran>;
  /** A file of what is kept of the work. */
  readonly kept: (name: string) => string;
}

/** A project of its own, whose model is at the URL. Whatever happens in it, the key is in none of its files and outputs. */
function project(t: TestContext, { provider, url, more = '', env = { MODEL_KEY: KEY }, change }: Given): Project {
  const root = mkdtempSync(join(tmpdir(), 'beds-model-'));
  const printed: string[] = [];
  t.after(() => {
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const texts = files.map((file) => readFileSync(join(file.parentPath, file.name), 'utf8'));
    rmSync(root, { recursive: true, force: true });
    assert.ok(files.length > 0 && printed.length > 0);
    assert.ok(![...texts, ...printed].some((text) => text.includes(KEY)), 'the key is somewhere');
  });
  mkdirSync(join(root, 'config'));
  const lines = [`provider = "${provider}"`, `url = "${url}"`, 'model = "some-model"', 'apiKey = "${MODEL_KEY}"', more];
  writeFileSync(join(root, 'config', 'beds.toml'), `[assistant]\n${lines.join('\n')}\n`);
  const beds = async (...args: string[]): Promise<Ran> => {
    const [stdout, stderr]: [string[], string[]] = [[], []];
    const code = await runProgram(
      {
        commands: new Map(AUTHOR_COMMANDS),
        help: { before: [], after: '' },
        createOutput,
        contextOf: (base): AuthorContext => ({
          ...base,
          projectRoot: root,
          beds: 'beds',
          tools: () => {
            const tools = createTools({ projectRoot: root, env, signal: base.signal, note: base.out.note });
            change?.(tools);
            return Promise.resolve(tools);
          },
        }),
      },
      {
        args,
        cwd: root,
        env: { BEDS_DEBUG: '1' },
        streams: { stdout: { write: (part) => stdout.push(part) }, stderr: { write: (part) => stderr.push(part) } },
      },
    );
    printed.push(stdout.join(''), stderr.join(''));
    return { code, stdout: stdout.join(''), stderr: stderr.join('') };
  };
  const design = (...args: string[]): Promise<Ran> => beds('design', 'seats', ...args, '--out', 'seats/domain.json');
  const kept = (name: string): string => join(root, '.beds/design/seats', name);
  return { root, beds, design, kept };
}

function state({ stdout }: Ran): string {
  return (JSON.parse(stdout) as { readonly state: string }).state;
}

for (const provider of PROTOCOLS) {
  describe(`beds design with a model behind HTTP: ${provider}`, () => {
    it('asks, shows what comes, keeps prompt and answer, and makes the specification', async (t) => {
      const { url, asked } = await endpoint(t, [{ text: `Here:\n${COVERED}`, used: [1_200, 3_400] }]);
      const { root, design, kept } = project(t, { provider, url });
      const done = await design(BRIEF, '--json');
      assert.equal(done.code, EXIT.ok, done.stderr);
      assert.equal(state(done), 'done');
      assert.match(
        done.stderr,
        /some-model is asked[^]*some-model: [\d,]+ characters[^]*some-model has answered: 4,600 of 400,000 tokens/,
      );
      assert.ok(existsSync(join(root, 'seats/domain.json')));
      assert.match(readFileSync(kept('round-1.prompt.md'), 'utf8'), /Never more than eight seats/);
      assert.equal(readFileSync(kept('round-1.answer.txt'), 'utf8'), `Here:\n${COVERED}`);
      assert.deepEqual(JSON.parse(readFileSync(kept('spent.json'), 'utf8')), {
        ...{ requests: 1, inputTokens: 1_200, outputTokens: 3_400, usd: 0 },
      });
      const [request] = asked;
      assert.ok(request !== undefined);
      const { headers, body, path, text } = request;
      assert.equal(path, provider === 'openai' ? '/v1/chat/completions' : '/v1/messages');
      assert.equal(
        provider === 'openai' ? headers.authorization : headers['x-api-key'],
        provider === 'openai' ? `Bearer ${KEY}` : KEY,
      );
      assert.equal(body.max_tokens, 32_000);
      assert.equal(provider === 'openai' ? body.response_format?.type : body.output_config?.format.type, 'json_schema');
      assert.ok(!text.includes(KEY));
      assert.equal(state(await design('--json')), 'done');
      assert.equal(asked.length, 1, 'an answer that is there is not asked for again');
    });

    for (const [what, reply, expected] of [
      ['cut off', { text: COVERED.slice(0, 900), end: 'length' }, /the document ends in the middle/],
      ['cut off before it begins', { text: '', end: 'length' }, /the document ends in the middle/],
      ['not JSON', { text: 'I would rather talk about it.' }, /no JSON object/],
      ['of the wrong form', { text: '{"beds": 1}' }, /is missing/],
      ['of the wrong meaning', { text: COVERED.replaceAll('code = :event', 'cod = :event') }, /there is no cod/],
    ] as const) {
      it(`says what is wrong with an answer that is ${what}, and takes the one of round two`, async (t) => {
        const { url, asked } = await endpoint(t, [reply, { text: COVERED }]);
        const { design, kept } = project(t, { provider, url });
        assert.equal(state(await design(BRIEF, '--json')), 'done');
        assert.match(readFileSync(kept('round-2.prompt.md'), 'utf8'), expected);
        assert.match(asked[1]?.text ?? '', expected);
      });
    }

    it('stops where the same problems come twice', async (t) => {
      const { url, asked } = await endpoint(t, [{ text: 'No.' }, { text: 'No.' }, { text: COVERED }]);
      const { root, design } = project(t, { provider, url });
      const refused = await design(BRIEF, '--json');
      assert.equal(refused.code, EXIT.failed);
      assert.equal(state(refused), 'refused');
      assert.equal(asked.length, 2);
      assert.ok(!existsSync(join(root, 'seats')));
    });

    it('says that a model declines, and asks it again the next time', async (t) => {
      const { url } = await endpoint(t, [{ text: 'I may not help with seats.', end: 'refusal' }, { text: COVERED }]);
      const { design, kept } = project(t, { provider, url });
      assert.match((await design(BRIEF)).stderr, /BEDS_CLI_MODEL_DECLINED.*I may not help with seats/);
      assert.ok(!existsSync(kept('round-1.answer.txt')));
      assert.equal(state(await design('--json')), 'done');
    });

    it('gives up a slow answer, counts what has come of it, and goes on the next time', async (t) => {
      const { url } = await endpoint(t, [{ text: COVERED.slice(0, 3_000), end: 'hangs' }, { text: COVERED }]);
      const { design, kept } = project(t, { provider, url, more: 'timeoutMs = 3000' });
      const late = await design(BRIEF);
      assert.match(late.stderr, /BEDS_CLI_MODEL_TIMEOUT.*not answered in full within 3 s.*3,000 characters had come/);
      const { outputTokens } = JSON.parse(readFileSync(kept('spent.json'), 'utf8')) as {
        readonly outputTokens: number;
      };
      assert.equal(outputTokens, 1_000);
      assert.equal(state(await design('--json')), 'done');
    });

    it('asks again after 429, 500 and a connection that breaks, as long as the endpoint says', async (t) => {
      const { url, asked } = await endpoint(t, [
        { status: 429, says: 'too many', headers: { 'retry-after': '0' } },
        { status: 500, headers: { 'retry-after': '0.1' } },
        { text: COVERED.slice(0, 2_000), end: 'breaks' },
        { text: COVERED },
      ]);
      const { design } = project(t, { provider, url });
      const done = await design(BRIEF, '--json');
      assert.equal(state(done), 'done');
      assert.equal(asked.length, 4);
      assert.match(
        done.stderr,
        /answers with 429: too many\. Once more in 0 s[^]*answers with 500[^]*Once more in 0\.1 s[^]*gives no whole answer/,
      );
    });

    it('stops after four attempts, and at once where it would have to wait too long', async (t) => {
      const busy: Reply = { status: 503, says: 'busy', headers: { 'retry-after': '0' } };
      const { url, asked } = await endpoint(t, [
        busy,
        busy,
        busy,
        busy,
        { status: 429, headers: { 'retry-after': '3600' } },
      ]);
      const { design, kept } = project(t, { provider, url });
      assert.match((await design(BRIEF)).stderr, /BEDS_CLI_MODEL_UNAVAILABLE.*503: busy.*last of 4 attempts/);
      assert.equal(asked.length, 4);
      assert.match(
        (await design()).stderr,
        /BEDS_CLI_MODEL_UNAVAILABLE.*again in 3,600 s, which is beyond assistant\.timeoutMs/,
      );
      assert.equal(asked.length, 5);
      assert.ok(!existsSync(kept('spent.json')), 'nothing was used');
    });

    it('does without a schema where the endpoint refuses one, and remembers it', async (t) => {
      const { url, asked } = await endpoint(t, [
        { status: 400, says: 'schema too complex' },
        { text: `Sure!\n\`\`\`json\n{"beds": 1}\n\`\`\`` },
        { text: COVERED },
      ]);
      const { design } = project(t, { provider, url });
      assert.equal(state(await design(BRIEF, '--json')), 'done');
      const given = asked.map(({ body }) => body.response_format ?? body.output_config);
      assert.deepEqual(
        given.map((schema) => schema !== undefined),
        [true, false, false],
      );
    });

    it('stops where the endpoint refuses the key, which is printed nowhere, also when it is echoed', async (t) => {
      const { url, asked } = await endpoint(t, [
        { status: 401, says: `no such key: ${KEY}` },
        { text: `${COVERED}\n${KEY}` },
      ]);
      const { design, kept } = project(t, { provider, url });
      assert.match((await design(BRIEF)).stderr, /BEDS_CLI_MODEL_REFUSED.*401: no such key: \*\*\*/);
      assert.equal(asked.length, 1);
      assert.equal(state(await design('--json')), 'done');
      assert.match(readFileSync(kept('round-1.answer.txt'), 'utf8'), /\*\*\*$/);
    });

    it('sends the key to nobody that the endpoint names', async (t) => {
      const other = await endpoint(t, [{ text: COVERED }]);
      const { url } = await endpoint(t, [{ status: 307, headers: { location: `${other.url}/messages` } }]);
      const { design } = project(t, { provider, url });
      assert.match((await design(BRIEF)).stderr, /BEDS_CLI_MODEL_REFUSED.*redirect/);
      assert.equal(other.asked.length, 0);
    });

    it('keeps to the bound on tokens over all rounds, and asks for no more than is left', async (t) => {
      const { url, asked } = await endpoint(t, [{ text: 'No.', used: [20_000, 70_000] }]);
      const { design } = project(t, {
        provider,
        url,
        more: 'maxTokens = 100000\nmaxAnswerTokens = 90000\nstructuredOutput = false',
      });
      assert.match(
        (await design(BRIEF)).stderr,
        /BEDS_CLI_MODEL_BUDGET.*90,000 of 100,000 tokens so far.*assistant\.maxTokens/,
      );
      assert.equal(asked.length, 1);
      const most = asked[0]?.body.max_tokens ?? 0;
      assert.ok(most > 50_000 && most < 90_000, String(most));
      assert.match((await design()).stderr, /BEDS_CLI_MODEL_BUDGET/, 'also when the command runs again');
    });

    it('keeps to the bound on cost', async (t) => {
      const { url, asked } = await endpoint(t, [{ text: 'No.', used: [20_000, 4_000] }]);
      const more = 'maxCostUsd = 0.13\ninputUsdPerMillion = 3\noutputUsdPerMillion = 15\nstructuredOutput = false';
      const { design } = project(t, { provider, url, more });
      const { stderr } = await design(BRIEF);
      assert.match(stderr, /0\.1200 USD of 0\.13[^]*BEDS_CLI_MODEL_BUDGET.*assistant\.maxCostUsd of 0\.13/);
      assert.ok((asked[0]?.body.max_tokens ?? Infinity) < 8_700);
    });

    it('ends an answer that has no end', async (t) => {
      const { url } = await endpoint(t, [{ text: 'x'.repeat(60_000), end: 'hangs' }, { text: COVERED }]);
      const { design, kept } = project(t, { provider, url, more: 'maxAnswerTokens = 5000' });
      assert.equal(state(await design(BRIEF, '--json')), 'done');
      assert.match(readFileSync(kept('round-2.prompt.md'), 'utf8'), /ends in the middle/);
    });
  });
}

describe('beds design with a model behind HTTP', () => {
  it('finds out what else an endpoint of chat completions does not take', async (t) => {
    const { url, asked } = await endpoint(t, [
      { status: 400, says: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead." },
      { status: 422, says: 'stream_options: extra fields are not permitted' },
      { status: 500, says: 'failed to parse grammar' },
      { text: COVERED },
    ]);
    const { design } = project(t, { provider: 'openai', url });
    assert.equal(state(await design(BRIEF, '--json')), 'done');
    const body = asked.at(-1)?.body;
    assert.equal(body?.max_tokens, undefined);
    assert.equal(body?.max_completion_tokens, 32_000);
    assert.equal(body.stream_options, undefined);
    assert.equal(body.response_format, undefined);
  });

  it('needs the variable of the key for that alone, and says which one is not set', async (t) => {
    const { url, asked } = await endpoint(t, []);
    const { root, beds, design } = project(t, { provider: 'openai', url, env: {} });
    assert.match((await design(BRIEF)).stderr, /BEDS_CLI_MODEL_REFUSED.*assistant\.apiKey is \$\{MODEL_KEY\}.*not set/);
    assert.equal(asked.length, 0);
    mkdirSync(join(root, 'plugins/seats'), { recursive: true });
    writeFileSync(join(root, 'plugins/seats/domain.json'), SEATS);
    assert.equal((await beds('spec', 'check', 'seats')).code, EXIT.ok);
  });

  it('waits for files where that is said, and asks no model that is not configured', async (t) => {
    const { url, asked } = await endpoint(t, []);
    const { design } = project(t, { provider: 'openai', url });
    assert.match((await design(BRIEF, '--provider', 'anthropic')).stderr, /BEDS_CLI_OPTION_INVALID.*files or openai/);
    assert.equal(state(await design(BRIEF, '--provider', 'files', '--json')), 'waiting');
    assert.equal(asked.length, 0);
  });

  it('gives what a database has shown to the model once, and tries again what comes of it', async (t) => {
    const { url, asked } = await endpoint(t, [{ text: COVERED }, { text: COVERED }]);
    const proofs: boolean[] = [];
    const { design } = project(t, {
      ...{ provider: 'openai', url, more: '[stores.main]\nkind = "mysql"' },
      change: (tools) => {
        tools.prove = () => {
          const ok = proofs.push(true) > 1;
          const failures = ok ? [] : ['seats_hold lets two callers have one seat'];
          const [server, notices, of] = ['11.8', [], ''];
          return Promise.resolve({
            ok,
            server,
            notices,
            notProved: [],
            of,
            steps: [{ name: 'races', tried: 1, failures }],
          });
        };
      },
    });
    const done = await design(BRIEF, '--yes', '--json');
    assert.equal(state(done), 'proved', done.stderr);
    assert.equal(proofs.length, 2);
    assert.match(asked[1]?.text ?? '', /two callers have one seat/);
  });
});
