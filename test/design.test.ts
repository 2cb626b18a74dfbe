import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type AuthorContext, AUTHOR_COMMANDS, createOutput, EXIT, runProgram } from '#sdk/cli';
import { checkSpecification, compareVersions, SEATS, type Specification } from '#sdk/spec';
import { createTools } from '../host/author/index.js';

const BRIEF = 'Seats of events. Never more than eight seats for a session.';
const COVERED = JSON.stringify({
  ...(JSON.parse(SEATS) as object),
  covers: [
    { sentence: 1, paths: ['records.event'] },
    { sentence: 2, paths: ['actions.hold'] },
  ],
});

interface Answer {
  readonly state: 'waiting' | 'done' | 'refused';
  readonly prompt: string;
  readonly answer: string;
  readonly file: string;
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

/** A project of its own, in which `beds` runs. */
function project(t: TestContext): {
  readonly root: string;
  readonly beds: (...args: string[]) => Promise<{ readonly code: number; readonly text: string }>;
  readonly design: (...args: string[]) => Promise<Answer>;
} {
  const root = mkdtempSync(join(tmpdir(), 'beds-design-'));
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const beds = async (...args: string[]): Promise<{ readonly code: number; readonly text: string }> => {
    let text = '';
    const stream = {
      write: (part: string): void => {
        text += part;
      },
    };
    const code = await runProgram(
      {
        commands: new Map(AUTHOR_COMMANDS),
        help: { before: [], after: '' },
        createOutput,
        contextOf: (base): AuthorContext => ({
          ...base,
          projectRoot: root,
          beds: 'beds',
          tools: () =>
            Promise.resolve(createTools({ projectRoot: root, env: {}, signal: base.signal, note: () => undefined })),
        }),
      },
      { args, cwd: root, env: {}, streams: { stdout: stream, stderr: stream } },
    );
    return { code, text };
  };
  const design = async (...args: string[]): Promise<Answer> => {
    const { text } = await beds('design', 'seats', ...args, '--out', 'seats/domain.json', '--json');
    return JSON.parse(text) as Answer;
  };
  return { root, beds, design };
}

describe('beds design with the files provider', () => {
  it('writes a prompt, waits for an answer, and makes the specification of a good one', async (t) => {
    const { root, design } = project(t);
    const asked = await design(BRIEF);
    assert.equal(asked.state, 'waiting');
    const prompt = readFileSync(asked.prompt, 'utf8');
    assert.match(prompt, /> 2\. Never more than eight seats for a session\./);
    assert.match(prompt, /not orders to you/);
    assert.deepEqual(await design(), asked, 'it waits for the same');
    writeFileSync(asked.answer, `Here it is:\n\`\`\`json\n${COVERED}\n\`\`\``);
    const done = await design();
    assert.equal(done.state, 'done');
    assert.equal(
      (JSON.parse(readFileSync(join(root, 'seats/domain.json'), 'utf8')) as { domain: string }).domain,
      'seats',
    );
    assert.equal((await design()).state, 'done', 'it may be run again');
  });

  it('says what is wrong, and takes the answer that is repaired in round two', async (t) => {
    const { design } = project(t);
    const first = await design(BRIEF);
    writeFileSync(first.answer, COVERED.replaceAll('"read_for_update"', '"get"'));
    const second = await design();
    assert.equal(second.state, 'waiting');
    assert.notEqual(second.prompt, first.prompt);
    assert.match(
      readFileSync(second.prompt, 'utf8'),
      /# What is wrong in it[^]*'get' is none of .*You mean read_for_update/,
    );
    writeFileSync(second.answer, COVERED);
    assert.equal((await design()).state, 'done');
  });

  for (const [what, answer, expected] of [
    ['not JSON', 'I cannot do that.', /no JSON object/],
    ['cut off', COVERED.slice(0, 900), /ends in the middle/],
    ['of the wrong form', '{"beds": 1}', /is missing/],
    ['of the wrong meaning', COVERED.replaceAll('code = :event', 'cod = :event'), /there is no cod.*code/],
    ['about another domain', COVERED.replace('"domain":"seats"', '"domain":"users"'), /users, and seats was asked for/],
    ['silent about a sentence', SEATS, /kept by nothing/],
  ] as const) {
    it(`asks again where the answer is ${what}, and stops where that comes twice`, async (t) => {
      const { root, design } = project(t);
      const first = await design(BRIEF);
      writeFileSync(first.answer, answer);
      const second = await design();
      assert.equal(second.state, 'waiting');
      assert.match(second.problems.map(({ message }) => message).join('\n'), expected);
      writeFileSync(second.answer, answer);
      assert.equal((await design()).state, 'refused');
      assert.ok(!existsSync(join(root, 'seats')), 'nothing goes on that was not checked');
      assert.ok(existsSync(join(root, '.beds/design/seats/draft.json')));
    });
  }

  it('never overwrites what a person wrote or changed', async (t) => {
    const { root, beds, design } = project(t);
    const first = await design(BRIEF);
    writeFileSync(first.answer, COVERED);
    await design();
    const file = join(root, 'seats/domain.json');
    writeFileSync(file, `${readFileSync(file, 'utf8')} `);
    const { code, text } = await beds('design', 'seats', '--out', 'seats/domain.json');
    assert.notEqual(code, EXIT.ok);
    assert.match(text, /was changed since it was made/);
    assert.match(readFileSync(file, 'utf8'), / $/);
    assert.match(
      (await beds('design', 'seats', 'Another brief.', '--out', 'seats/domain.json')).text,
      /Another brief is under way/,
    );
  });

  it('takes a change, and refuses one that drops what it does not mention', async (t) => {
    const { root, design } = project(t);
    const first = await design(BRIEF);
    writeFileSync(first.answer, COVERED);
    await design();
    const asked = await design('--change', 'Seats get a colour.');
    assert.match(readFileSync(asked.prompt, 'utf8'), /The document as it is[^]*Seats get a colour/);
    const changed = (spoil: (text: string) => string): string =>
      spoil(readFileSync(join(root, 'seats/domain.json'), 'utf8'));
    writeFileSync(
      asked.answer,
      changed((text) =>
        text.replace('"name": "occupancy"', '"name": "filled"').replace(/"covers": \[[^\]]*\] \}\],/, ''),
      ),
    );
    const again = await design('--change', 'Seats get a colour.');
    assert.equal(again.state, 'waiting');
    assert.match(again.problems[0]?.message ?? '', /occupancy is gone/);
    writeFileSync(
      again.answer,
      changed((text) =>
        text.replace(
          '"name": "category"',
          '"name": "colour", "type": "text", "optional": true, "description": "Colour" }, { "name": "category"',
        ),
      ),
    );
    assert.equal((await design('--change', 'Seats get a colour.')).state, 'done');
    const made = JSON.parse(readFileSync(join(root, 'seats/domain.json'), 'utf8')) as { readonly revision?: number };
    assert.match(JSON.stringify(made), /"colour"/);
    assert.equal(made.revision, 2);
    // The next change begins with that, and counts on.
    const next = await design('--change', 'Seats get a smell.');
    assert.match(readFileSync(next.prompt, 'utf8'), /"colour"[^]*Seats get a smell/);
  });

  it('refuses a change that rows of today and callers of today have no answer to, and says what to do', async (t) => {
    const { root, design } = project(t);
    const first = await design(BRIEF);
    writeFileSync(first.answer, COVERED.replace('"store":', '"revision":7,"store":'));
    assert.equal((await design()).state, 'done');
    const text = readFileSync(join(root, 'seats/domain.json'), 'utf8');
    assert.ok(!text.includes('"revision"'), 'the number of a first document is not for a model to say');
    const asked = await design('--change', 'Seats get a colour.');
    const serial =
      '"name": "serial", "type": "integer", "description": "Serial", "numbering": { "per": [], "gapless": false }';
    const spoiled = text.replace('"name": "category"', `${serial} }, { "name": "category"`);
    writeFileSync(asked.answer, spoiled);
    const again = await design('--change', 'Seats get a colour.');
    assert.equal(again.state, 'waiting');
    const said = again.problems.map(({ path, message }) => `${path}: ${message}`).join('\n');
    assert.match(
      said,
      /records\.place\.fields\.serial: no database with rows can be brought there .*: numbers for rows that are there/,
    );
    const { problems: callers } = checkSpecification(JSON.parse(text));
    assert.deepEqual(callers, []);
    const changed = JSON.parse(text) as Specification;
    const before = structuredClone(changed);
    const hold = changed.actions?.find(({ name }) => name === 'hold');
    hold?.args.push({ name: 'colour', description: 'Colour', type: 'text' });
    assert.match(compareVersions(before, changed, 'colour')[0]?.message ?? '', /callers of today do not give colour/);
  });
});

describe('beds spec', () => {
  it('checks, formats and explains a file', async (t) => {
    const { root, beds } = project(t);
    const file = join(root, 'domain.json');
    writeFileSync(file, JSON.stringify(JSON.parse(SEATS)));
    assert.match((await beds('spec', 'check')).text, /domain\.json: no problems/);
    assert.equal((await beds('spec', 'format')).code, EXIT.ok);
    assert.equal(readFileSync(file, 'utf8'), `${SEATS}\n`);
    assert.match((await beds('spec', 'explain')).text, /held_until on it counts as state = 'free'/);
    writeFileSync(file, SEATS.replace("p.state = 'free'", "p.stat = 'free'"));
    const wrong = await beds('spec', 'check', '--json');
    assert.equal(wrong.code, EXIT.failed);
    const { ok, problems } = JSON.parse(wrong.text) as {
      readonly ok: boolean;
      readonly problems: readonly { readonly path: string; readonly message: string }[];
    };
    assert.equal(ok, false);
    assert.match(problems[0]?.message ?? '', /place has no field stat.*Did you mean state/);
    assert.notEqual((await beds('spec', 'explain')).code, EXIT.ok);
  });

  it('formats what check takes, says what is no document, and names the option whose file is not there', async (t) => {
    const { root, beds } = project(t);
    const file = join(root, 'domain.json');
    writeFileSync(file, `\`\`\`json\n${SEATS}\n\`\`\`\n`);
    assert.equal((await beds('spec', 'format')).code, EXIT.ok);
    assert.equal(readFileSync(file, 'utf8'), `${SEATS}\n`);
    writeFileSync(file, SEATS.slice(0, 2_000));
    assert.match((await beds('spec', 'format')).text, /domain\.json: 1 problem/);
    writeFileSync(file, SEATS);
    assert.match(
      (await beds('spec', 'check', '--brief', 'no.md')).text,
      /BEDS_CLI_OPTION_INVALID.*--brief names no file/,
    );
    assert.match(
      (await beds('design', 'seats', '--file', 'no.md')).text,
      /BEDS_CLI_OPTION_INVALID.*--file names no file/,
    );
  });

  it('prints the JSON Schema, for editors and in the strict form of models', async (t) => {
    const { beds } = project(t);
    const editor = JSON.parse((await beds('spec', 'schema')).text) as {
      readonly $defs: Readonly<Record<string, { readonly required: readonly string[] }>>;
    };
    const strict = JSON.parse((await beds('spec', 'schema', '--strict')).text) as typeof editor;
    assert.ok(!editor.$defs['record']?.required.includes('states'));
    assert.ok(strict.$defs['record']?.required.includes('states'));
  });
});
