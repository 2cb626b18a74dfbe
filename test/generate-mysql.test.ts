import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type AuthorContext, AUTHOR_COMMANDS, createOutput, EXIT, runProgram } from '#sdk/cli';
import { generateMysql } from '#sdk/generate';
import { checkSpecification, LEDGER, SEATS, type Specification } from '#sdk/spec';
import { createTools } from '../host/author/index.js';
import { BRIEFS } from './support/brief-checks.js';
import { assertKept, filesOf, specificationOf } from './support/generated-domain.js';

const GOLDEN = 'test/fixtures/generated';
const GOLDEN_DOMAINS = { seats: SEATS, ledger: LEDGER };

const all = readdirSync(BRIEFS)
  .filter((name) => /^\d\d-[a-z-]+\.json$/.test(name))
  .map((name) => [name, readFileSync(join(BRIEFS, name), 'utf8')] as const);
const made = all.flatMap(([name, text]) => {
  const { files } = generateMysql(specificationOf(text));
  return files === undefined ? [] : [[name, files] as const];
});

function changed(text: string, change: (specification: Specification) => unknown): ReturnType<typeof generateMysql> {
  const { checked, problems } = checkSpecification(change(JSON.parse(text) as Specification));
  assert.ok(checked, JSON.stringify(problems));
  return generateMysql(checked);
}

describe('the generator for MySQL and MariaDB', () => {
  for (const [name, text] of Object.entries(GOLDEN_DOMAINS)) {
    it(`makes of ${name} what is kept in ${GOLDEN}/${name}, byte for byte`, () => {
      assertKept(filesOf(specificationOf(text)), join(GOLDEN, name));
    });
  }

  it('makes the same bytes again, whatever order the properties of the document have', () => {
    const turned = JSON.parse(SEATS, (_, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).toReversed())
        : value,
    ) as unknown;
    const { checked } = checkSpecification(turned);
    assert.ok(checked);
    assert.deepEqual(generateMysql(checked), generateMysql(specificationOf(SEATS)));
  });

  it('gives the runtime account procedures and views, and no table, no function and no trigger', () => {
    const sql = made.flatMap(([name, files]) => Object.entries(files).map(([file, text]) => ({ name, file, text })));
    for (const { name, file, text } of sql.filter((each) => each.file.endsWith('.sql'))) {
      assert.ok(!/\bGRANT\b/.test(text), `${name} ${file}`);
      const objects = [
        ...text.matchAll(/CREATE (?:OR REPLACE )?(?:SQL SECURITY DEFINER )?(FUNCTION|VIEW|PROCEDURE) (\S+?)[(\s]/g),
      ];
      for (const [, kind, object] of objects) {
        if (kind === 'FUNCTION') assert.match(object ?? '', /^_/, `${name} ${file}`);
        assert.match(text, /SQL SECURITY DEFINER/, `${name} ${file}`);
      }
      const statements = text.match(/^CREATE (?:PROCEDURE|FUNCTION|TRIGGER)/gm) ?? [];
      assert.ok(statements.length <= 1, `${name} ${file}: one routine to a file`);
    }
  });

  it('takes the key that the database gave at once, before a history or a trigger takes one', () => {
    for (const [name, files] of made)
      for (const [file, text] of Object.entries(files))
        for (const [found] of text.matchAll(/^.*\n.*LAST_INSERT_ID\(\).*$/gm))
          assert.match(
            found,
            /(?:;|THEN)\n\s*SET \S+ = LAST_INSERT_ID\(\);$|= LAST_INSERT_ID\(\S+\)/,
            `${name} ${file}: ${found}`,
          );
  });

  it('writes every text of a specification as a text, whatever is in it', () => {
    const words = String.raw`It's a "\" ; DROP TABLE x; -- */ \\' OR 1=1`;
    const generated = changed(SEATS, (specification) => ({
      ...specification,
      description: words,
      records: specification.records.map((record) => ({
        ...record,
        description: words,
        fields: record.fields.map((field) => ({ ...field, description: words })),
      })),
    }));
    const { files = {} } = generated;
    const sql = files['db/111-table-seats_place.sql'] ?? '';
    assert.match(sql, /COMMENT 'It''s a "\\\\" ; DROP TABLE x; -- \*\/ \\\\\\\\'' OR 1=1'/);
    assert.ok(!(files['template.ts'] ?? '').includes('x; -- */'));
    // Outside of texts nothing of it is left.
    const outside = sql.replaceAll(/^--.*$/gm, '').replaceAll(/'(?:''|\\\\|[^'\\])*'/g, "''");
    assert.ok(!outside.includes('DROP'), outside);
  });

  it('names every construct that it does not make, and makes nothing then', () => {
    // A field that would share its parameter with one of the generator's own.
    const flag = { name: 'clears', description: 'Clears', type: 'boolean', default: 'true' };
    const { refused, files } = changed(SEATS, (specification) => ({
      ...specification,
      records: specification.records.map((record) =>
        record.name === 'event' ? { ...record, fields: [...record.fields, flag] } : record,
      ),
    }));
    assert.equal(files, undefined);
    assert.deepEqual(refused, [{ path: 'records.event.fields.clears', construct: 'a field called clears' }]);
  });
});

function project(t: TestContext): {
  readonly root: string;
  readonly beds: (...args: string[]) => Promise<{ readonly code: number; readonly text: string }>;
} {
  const root = mkdtempSync(join(tmpdir(), 'beds-generate-'));
  t.after(() => {
    rmSync(root, { recursive: true, force: true });
  });
  const beds = async (...args: string[]): Promise<{ readonly code: number; readonly text: string }> => {
    let text = '';
    const stream = Object.assign(Object.create(process.stdout) as typeof process.stdout, {
      write: (part: string) => {
        text += part;
        return true;
      },
    });
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
  return { root, beds };
}

describe('procedures that are generated', () => {
  const codeOf = (files: Readonly<Record<string, string>> | undefined, name: string): string =>
    Object.entries(files ?? {}).find(([file]) => file.endsWith(`-procedure-${name}.sql`))?.[1] ?? assert.fail(name);
  const readings = (text: string, row: string): number => text.split(`INTO is_there_${row},`).length - 1;

  it('read a row again only where something is read of it later that has changed, in the next turn of a loop as well', () => {
    const seats = filesOf(specificationOf(SEATS));
    for (const [name, row] of [
      ['seats_hold', 'p'],
      ['seats_cancel', 'p'],
      ['seats_scan', 'p'],
      ['seats_prolong', 'each_place'],
    ] as const)
      assert.equal(readings(codeOf(seats, name), row), 1, name);
    const number = { description: 'A number', type: 'integer' };
    const list = {
      name: 'lines',
      description: 'Lines',
      type: 'list',
      columns: [{ name: 'n', ...number }],
      max_items: 9,
    };
    const steps = (inside: readonly object[], after: readonly object[]): readonly object[] => [
      { op: 'read_for_update', record: 'box', as: 'b', where: 'id = :box', message: 'No box.' },
      { op: 'for_each_item', list: ':lines', as: 'l', max: 9, steps: inside },
      ...after,
    ];
    const check = { op: 'check', rule: 'b.n < 10', message: 'It is full.' };
    const put = { op: 'update', row: 'b', set: ['n = n + l.n'] };
    const box = { name: 'box', description: 'A box', type: 'reference', references: 'box' };
    const actions = Object.entries({
      each: steps([check, put], []),
      end: steps([put], [check]),
      never: steps([put], []),
      before: [...steps([put], []).toSpliced(1, 0, check)],
    }).map(([name, all]) => ({ name, description: 'Puts', args: [box, list], steps: all }));
    const fields = [{ name: 'n', ...number, managed: true }];
    const { checked, problems } = checkSpecification({
      ...{ beds: 1, domain: 'boxes', description: 'Boxes.', store: 'main', zone: 'UTC', examples: [] },
      ...{ records: [{ name: 'box', description: 'A box', key: 'auto', fields, operations: ['create'] }], actions },
      ...{ assumptions: [], questions: [] },
    });
    assert.ok(checked, JSON.stringify(problems));
    const made = filesOf(checked);
    assert.deepEqual(
      actions.map(({ name }) => [name, readings(codeOf(made, `boxes_${name}`), 'b')]),
      [
        ['each', 2],
        ['end', 2],
        ['never', 1],
        ['before', 1],
      ],
    );
  });

  it('ask of a state that is compared with a word whether it has ended only where it can have', () => {
    const seats = filesOf(specificationOf(SEATS));
    assert.doesNotMatch(codeOf(seats, 'seats_occupancy'), /held_until/);
    assert.match(
      codeOf(seats, 'seats_release'),
      /`state` = 'held' AND \(`place`\.`held_until` <= v_now\) IS NOT TRUE\)/,
    );
  });

  it('have no index beside the key that finds a record by itself, and one where only a part of what is unique is known', () => {
    const field = (name: string): object => ({ name, description: 'A text', type: 'text', max_length: 20 });
    const by = (name: string, ...where: readonly string[]): object => ({
      ...{ name, description: 'Finds', from: 'box', where, columns: ['id'] },
      args: where.map((_, at) => ({ name: `a${String(at)}`, description: 'A text', type: 'text' })),
    });
    const { checked, problems } = checkSpecification({
      ...{ beds: 1, domain: 'boxes', description: 'Boxes.', store: 'main', zone: 'UTC', examples: [] },
      records: [
        {
          ...{ name: 'box', description: 'A box', key: 'auto', operations: ['create'] },
          fields: ['code', 'room', 'shelf', 'state'].map(field),
          unique: [{ fields: ['code'] }, { fields: ['lower(shelf)', 'room'] }],
        },
      ],
      queries: [
        { ...by('one', 'state = :a0', 'id = 7') },
        by('same', 'code = :a0', 'state = :a1'),
        by('room', 'room = :a0', 'state = :a1'),
      ],
      ...{ assumptions: [], questions: [] },
    });
    assert.ok(checked, JSON.stringify(problems));
    assert.deepEqual(
      checked.records[0]?.indexes.map(({ name }) => name),
      ['box_by_room_state'],
    );
    const soft = checkSpecification({
      ...checked.source,
      records: checked.source.records.map((record) => ({ ...record, soft_delete: true })),
    }).checked;
    assert.deepEqual(
      soft?.records[0]?.indexes.map(({ name }) => name),
      ['box_by_code_state', 'box_by_room_state'],
      'on MongoDB a unique index is over a field of its own where only some count',
    );
  });

  it('have no long line in which a part of a statement begins', () => {
    const lines = made.flatMap(([name, files]) =>
      Object.entries(files)
        .filter(([file]) => /-(?:procedure|trigger|view)-/.test(file))
        .flatMap(([file, text]) => text.split('\n').map((line) => ({ at: `${name} ${file}`, line: line.trim() }))),
    );
    const long = lines.filter(({ line }) => line.length > 120 && !line.startsWith('--'));
    assert.deepEqual(
      long.filter(({ line }) => / (?:WHERE|LEFT JOIN) /.test(line.replaceAll(/'(?:''|[^'])*'/g, "''"))),
      [],
    );
    assert.ok(long.length * 100 < lines.length, `${String(long.length)} of ${String(lines.length)} lines are long`);
  });
});

describe('the template that is generated', () => {
  it('takes null in an update only where a field may be absent, and repeats no action that is called as an update is', () => {
    const { files } = changed(LEDGER, (specification) => {
      const [action] = (specification.actions ?? []).filter(({ name }) => name === 'post');
      assert.ok(action);
      return { ...specification, actions: [{ ...action, name: 'ledger_update' }], examples: [] };
    });
    const template = files?.['template.ts'] ?? '';
    assert.match(template, /account_update: procedure\(.*name: t\.string\(\{ max: 100 \}\)\.omittable\(\)/);
    assert.match(template, /ledger_account_update'.*\.idempotent\(\)/);
    assert.match(template, /ledger_ledger_update'/);
    assert.doesNotMatch(template, /ledger_ledger_update'.*\.idempotent\(\)/);
  });
});

describe('beds generate', () => {
  it('writes the files beside the document, and never over what a person has changed', async (t) => {
    const { root, beds } = project(t);
    writeFileSync(join(root, 'domain.json'), SEATS);
    assert.equal((await beds('generate', '--check')).code, EXIT.failed);
    const first = await beds('generate');
    assert.equal(first.code, EXIT.ok, first.text);
    assert.match(first.text, /seats: \d+ files, \d+ changed/);
    assert.equal((await beds('generate', '--check')).code, EXIT.ok);
    const hold = readdirSync(join(root, 'db')).find((name) => name.includes('seats_hold')) ?? '';
    const path = join(root, 'db', hold);
    const own = `${readFileSync(path, 'utf8')}-- mine\n`;
    writeFileSync(path, own);
    writeFileSync(join(root, 'domain.json'), SEATS.replaceAll('+ 10 min', '+ 12 min'));
    const refused = await beds('generate');
    assert.notEqual(refused.code, EXIT.ok);
    assert.match(refused.text, /BEDS_CLI_TARGET_EXISTS.*seats_hold/);
    assert.equal(readFileSync(path, 'utf8'), own);
    assert.equal((await beds('generate', '--force')).code, EXIT.ok);
    assert.match(readFileSync(path, 'utf8'), /INTERVAL 12 MINUTE/);
  });

  it('takes away what it made and makes no more, and nothing else', async (t) => {
    const { root, beds } = project(t);
    writeFileSync(join(root, 'domain.json'), SEATS);
    writeFileSync(join(root, 'notes.md'), 'mine');
    assert.equal((await beds('generate')).code, EXIT.ok);
    const { actions = [], ...rest } = JSON.parse(SEATS) as Specification;
    const fewer = { ...rest, actions: actions.filter(({ name }) => name !== 'scan'), examples: [] };
    writeFileSync(join(root, 'domain.json'), JSON.stringify(fewer));
    const again = await beds('generate');
    assert.equal(again.code, EXIT.ok, again.text);
    assert.ok(!readdirSync(join(root, 'db')).some((name) => name.includes('seats_scan')));
    assert.equal(readFileSync(join(root, 'notes.md'), 'utf8'), 'mine');
  });

  it('names what it cannot make by its line, with a code', async (t) => {
    const { root, beds } = project(t);
    const field = '"fields": [\n{"name": "clears", "description": "Clears", "type": "boolean", "default": "true"},';
    const text = SEATS.replace('"fields": [', field);
    writeFileSync(join(root, 'domain.json'), text);
    const { code, text: said } = await beds('generate');
    assert.notEqual(code, EXIT.ok);
    const line = text.split('\n').findIndex((each) => each.includes('"name": "clears"')) + 1;
    assert.match(
      said,
      new RegExp(
        `BEDS_CLI_NOT_GENERATED.*domain\\.json:${String(line)}: records\\.event\\.fields\\.clears: a field called clears`,
        's',
      ),
    );
    assert.deepEqual(readdirSync(root), ['domain.json']);
    writeFileSync(join(root, 'domain.json'), SEATS.replace("state = 'free'", "stat = 'free'"));
    assert.match((await beds('generate')).text, /BEDS_CLI_ARGUMENT_INVALID.*beds spec check/);
  });
});
