import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  checkSpecification,
  emptyScope,
  explain,
  formatSpecification,
  FormulaError,
  FUNCTIONS,
  LEDGER,
  parseFormula,
  type Problem,
  problemLine,
  SEATS,
  shapesOf,
  SPECIAL_FUNCTIONS,
  type Specification,
  tryExamples,
  typeFormula,
} from '#sdk/spec';
import { BRIEFS } from './support/brief-checks.js';

/** Documents that nobody would write, and every formula: what reads them says what is wrong, and never fails. */

const SEED = Number(process.env['BEDS_TEST_SEED'] ?? 20_261_130);
const RUNS = { numRuns: 300, seed: SEED } as const;
const DOCUMENTS = [
  SEATS,
  LEDGER,
  ...readdirSync(BRIEFS)
    .filter((name) => /^\d\d-[a-z-]+\.json$/.test(name))
    .map((name) => readFileSync(join(BRIEFS, name), 'utf8')),
].map((text) => JSON.parse(text) as unknown);

type Path = readonly (string | number)[];

/** The path of every value in a document. */
function pathsIn(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([key, inner]) =>
      pathsIn(inner, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function at(document: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Readonly<Record<string | number, unknown>> | null | undefined)?.[key],
    document,
  );
}

/** A copy with another value at a path; undefined removes what is there. */
function changed(document: unknown, path: Path, value: unknown): unknown {
  const copy = structuredClone(document);
  const last = path.at(-1);
  const holder = at(copy, path.slice(0, -1)) as Record<string | number, unknown> | unknown[] | null | undefined;
  if (last === undefined || typeof holder !== 'object' || holder === null) return value ?? null;
  if (value !== undefined) (holder as Record<string | number, unknown>)[last] = value;
  else if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else Reflect.deleteProperty(holder, last);
  return copy;
}

const FRAGMENTS = [
  ...[
    '(',
    ')',
    ',',
    '.',
    "'",
    '"',
    "'x'",
    '"y"',
    ' ',
    '1',
    '0.5',
    '15 min',
    '3 months',
    ':a',
    '@user',
    '@now',
    '@today',
    '@tenant',
  ],
  ...[
    ' and ',
    ' or ',
    ' not ',
    ' in ',
    ' is null',
    ' between ',
    ' where ',
    ' order by ',
    ' desc',
    ' over (',
    'partition by ',
    'distinct ',
  ],
  ...[
    ' = ',
    ' != ',
    ' < ',
    ' >= ',
    ' + ',
    ' - ',
    ' * ',
    ' / ',
    ' % ',
    'null',
    'true',
    'this',
    'this.',
    'id',
    'state',
    'event',
    'place',
    'line',
    'amount',
  ],
  ...[
    'constructor',
    '__proto__',
    'toString',
    '{',
    '}',
    '\\',
    '\u0000',
    'é',
    '😀',
    '\ud800',
    '99999999999999999999999999999999',
    '1e9',
  ],
  ...[...FUNCTIONS.keys(), ...SPECIAL_FUNCTIONS.map(({ name }) => name)].map((name) => `${name}(`),
];
const formula = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 14 }).map((parts) => parts.join(''));
const strange = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    '',
    'x',
    [],
    {},
    [[]],
    [null],
    'constructor',
    '__proto__',
    'toString',
    'this',
    'a b',
  ),
  formula,
  fc.string({ maxLength: 12 }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** A document of which some values are others. */
const spoilt = fc
  .record({
    document: fc.constantFrom(...DOCUMENTS),
    changes: fc.array(
      fc.record({
        where: fc.nat(),
        from: fc.nat(),
        kind: fc.constantFrom('strange', 'gone', 'other', 'twice', 'letters'),
        value: strange,
      }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
  })
  .map(({ document, changes }) => {
    let spoiled = document;
    for (const { where, from, kind, value } of changes) {
      const paths = pathsIn(spoiled);
      const path = paths[where % paths.length] ?? [];
      const here = at(spoiled, path);
      if (kind === 'strange') spoiled = changed(spoiled, path, value ?? null);
      else if (kind === 'gone') spoiled = changed(spoiled, path, undefined);
      else if (kind === 'other') spoiled = changed(spoiled, path, at(spoiled, paths[from % paths.length] ?? []));
      else if (kind === 'twice' && Array.isArray(here))
        spoiled = changed(spoiled, path, [...(here as unknown[]), ...(here as unknown[])]);
      else if (typeof here === 'string')
        spoiled = changed(
          spoiled,
          path,
          `${here.slice(0, from % (here.length + 1))}${here.slice((from % (here.length + 1)) + 1)}`,
        );
    }
    return spoiled;
  });

const places = (problems: readonly Problem[]): readonly string[] => problems.map(({ path, code }) => `${path} ${code}`);

describe('documents that nobody would write', { timeout: 240_000 }, () => {
  it('are told what is wrong with them, are formatted in one way, and mean the same afterwards', async () => {
    let [formed, good] = [0, 0];
    await fc.assert(
      fc.asyncProperty(spoilt, async (document) => {
        const { problems } = checkSpecification(document, { brief: 'Seats. At most 8 for 3 days.' });
        for (const problem of problems) assert.ok(problem.message.length > 3 && problemLine(problem).length > 5);
        const result = checkSpecification(document);
        if (result.problems.some(({ code }) => code === 'form' || code === 'schema-echo')) return;
        formed += 1;
        const text = formatSpecification(document as Specification);
        assert.equal(formatSpecification(JSON.parse(text) as Specification), text);
        const again = checkSpecification(JSON.parse(text));
        assert.deepEqual(places(again.problems), places(result.problems));
        if (result.checked === undefined) return;
        good += 1;
        assert.ok(explain(result.checked).length > 50);
        for (const { path, message, code } of await tryExamples(result.checked)) {
          assert.match(path, /^examples/);
          assert.ok(code !== 'not-tried' || message.includes('too many steps'), message);
        }
      }),
      RUNS,
    );
    assert.ok(formed > RUNS.numRuns / 10 && good > RUNS.numRuns / 50, `${formed} had the form, ${good} were right`);
  });

  it('are refused where they go deeper than anybody reads', () => {
    let deep: unknown = [];
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    for (const document of [deep, { beds: 1, records: deep }, { beds: 1, actions: [{ steps: deep }] }]) {
      const { problems } = checkSpecification(document);
      assert.match(problems[0]?.message ?? '', /more than 60 levels deep/);
    }
  });

  it('are checked in time where they are as large as documents may be', () => {
    const steps = Array.from({ length: 60 }, (_, index) => ({
      op: 'check',
      rule: `count(place where event = e.code and no > '${String(index)}') < 8`,
      message: 'No.',
    }));
    const document = JSON.parse(SEATS) as { actions: { name: string; steps: unknown[] }[] };
    const [hold] = document.actions;
    assert.ok(hold);
    document.actions.push(
      ...Array.from({ length: 70 }, (_, index) => ({
        ...hold,
        name: `hold_${String(index)}`,
        steps: [...hold.steps.slice(0, 1), ...steps.slice(0, 58), ...hold.steps.slice(-1)],
      })),
    );
    const beganMs = performance.now();
    assert.ok(checkSpecification(document).checked);
    assert.ok(performance.now() - beganMs < 20_000, `${String(performance.now() - beganMs)} ms`);
  });
});

describe('formulas that nobody would write', () => {
  const records = shapesOf((JSON.parse(SEATS) as Specification).records);
  const scope = {
    ...emptyScope(records, 'a test'),
    rows: new Map([['this', { record: 'place', nullable: false }]]),
    own: 'this',
    sets: true,
    totals: true,
    windows: true,
  };

  it('are refused with their place and nothing else', () => {
    fc.assert(
      fc.property(formula, (text) => {
        try {
          typeFormula(parseFormula(text), scope);
        } catch (error) {
          if (!(error instanceof FormulaError)) throw error;
          assert.ok(error.at >= 0 && error.at <= text.length && error.message !== '');
          assert.ok(error.example === undefined || typeof error.example === 'string');
        }
      }),
      { ...RUNS, numRuns: 5_000 },
    );
  });

  it('are refused where they are too deep or too large to be computed', () => {
    for (const text of [
      `${'('.repeat(400)}1${')'.repeat(400)}`,
      `${'not '.repeat(240)}true`,
      '-'.repeat(900),
      '9'.repeat(40),
      '99999999 years',
    ]) {
      assert.throws(() => parseFormula(text), FormulaError, text.slice(0, 20));
    }
    const chain = parseFormula(Array.from({ length: 480 }, () => '1').join('+'));
    assert.equal(typeFormula(chain, scope).type.kind, 'integer');
  });
});
