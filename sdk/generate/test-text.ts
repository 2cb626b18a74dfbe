import type { CheckedSpecification } from '../spec/index.js';
import { aliasOf, literalOf, type Routines, type ServedAction, type ServedRoutine } from './template-text.js';

/** A value that is none of any type: a test of what has one is left out. */
class NoSample extends Error {}

/** A value that the type of a template takes: `t.string({ max: 20 })`. Throws NoSample. */
function sampleOf(template: string, name: string): unknown {
  const [, type = '', rest = ''] = /^t\.(\w+)\(([\s\S]*)\)(?:\.optional\(\))?$/.exec(template) ?? [];
  const bound = (word: string): number | undefined => {
    const [, digits] = new RegExp(`\\b${word}: (-?[\\d_.]+)`).exec(rest) ?? [];
    return digits === undefined ? undefined : Number(digits.replaceAll('_', ''));
  };
  switch (type) {
    case 'int':
      return Math.max(bound('min') ?? 1, Math.min(1, bound('max') ?? 1));
    case 'string':
      return name.slice(0, bound('max') ?? 100);
    case 'enum':
      return (JSON.parse(/^\[.*\]/.exec(rest)?.[0] ?? '[]') as readonly string[])[0];
    case 'list':
      return [sampleOf(partsOf(rest)[0] ?? '', name)];
    case 'object':
      return Object.fromEntries(
        partsOf(rest.replace(/^\{/, '').replace(/\}$/, '')).map((part) => {
          const [, key = '', value = ''] = /^(\w+): ([\s\S]*)$/.exec(part) ?? [];
          return [key, sampleOf(value, key)];
        }),
      );
    default:
      if (Object.hasOwn(SAMPLES, type)) return SAMPLES[type];
      throw new NoSample(template);
  }
}

const SAMPLES: Readonly<Record<string, unknown>> = {
  ...{ decimal: '1', number: 1.5, boolean: true, date: '2026-01-31', time: '18:30:00' },
  ...{ datetime: '2026-01-31T18:30:00.000Z', json: {} },
};

/** What is parted by commas that stand in no brackets and no text. */
function partsOf(text: string): readonly string[] {
  const parts: string[] = [];
  let [depth, start, isText] = [0, 0, false];
  for (let at = 0; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (isText && sign === '\\') at += 1;
    else if (sign === '"') isText = !isText;
    else if (!isText && '([{'.includes(sign)) depth += 1;
    else if (!isText && ')]}'.includes(sign)) depth -= 1;
    else if (!isText && depth === 0 && sign === ',') {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return [...parts, text.slice(start).trim()].filter((part) => part !== '');
}

const USER = { id: 'ann', roles: ['reader'], session: 's1' };
const CALLER = { id: 'ann', roles: ['reader'] };

interface Test {
  readonly title: string;
  readonly lines: readonly string[];
}

/**
 * The test of a template. The database is played: it says what the template asks of it for each operation, who the caller is
 * among that, and what callers get of the answer. Whether the database keeps its rules `beds prove` tries.
 */
export function testText({ domain, records }: CheckedSpecification, { plain, actions }: Routines): string {
  const key = records[0]?.key[0] ?? 'id';
  const bound = plain.find(({ operation }) => operation === 'list');
  const all: readonly (readonly [ServedRoutine, ServedAction | undefined])[] = [
    ...plain.filter((routine) => routine !== bound).map((routine) => [routine, undefined] as const),
    ...actions.map((action) => [action.routine, action] as const),
  ];
  const tests = all.flatMap(([routine, action]) => {
    try {
      return testsOf(routine, { action, key });
    } catch (error) {
      if (error instanceof NoSample) return [];
      throw error;
    }
  });
  const row = bound === undefined ? plain.find(({ operation }) => operation === 'create') : undefined;
  const texts = [...(row === undefined ? [] : fetchTests(row, key)), ...tests].map(
    ({ title, lines }) => `it(${literalOf(title)}, async () => {\n${lines.map((line) => `  ${line}\n`).join('')}});\n`,
  );
  const usesUser = texts.some((text) => /\buser\b/.test(text));
  return `import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import template from './template.js';

// Made from domain.json by \`beds generate\`: change that, and make this again. The database is played here; \`beds prove ${domain}\` tries it.
${usesUser ? `\nconst user = ${literalOf(USER)};\n` : ''}
${texts.join('\n')}`;
}

function fetchTests({ columns }: ServedRoutine, key: string): readonly Test[] {
  try {
    const row = Object.fromEntries(columns.map(({ name, template }) => [name, sampleOf(template, name)]));
    return [
      {
        title: 'fetch finds a record by its key',
        lines: [
          `const domain = testDomain(template, { views: { fetch: [${literalOf(row)}] } });`,
          `assert.deepEqual((await domain.fetch({ key: ${literalOf(row[key])} })).rows, [${literalOf(row)}]);`,
        ],
      },
    ];
  } catch (error) {
    if (error instanceof NoSample) return [];
    throw error;
  }
}

interface Tested {
  readonly action: ServedAction | undefined;
  /** Of the records that fetch, update and delete are about. */
  readonly key: string;
}

function testsOf(routine: ServedRoutine, tested: Tested): readonly Test[] {
  const { operation, answers, args, clears, usesCaller } = routine;
  const required = args.filter(({ isLoose }) => !isLoose);
  const given = Object.fromEntries(required.map(({ name, template }) => [name, sampleOf(template, name)]));
  const row = Object.fromEntries(routine.columns.map(({ name, template }) => [name, sampleOf(template, name)]));
  const isRow = answers === 'row';
  const isLone = routine.columns.length > 0;
  const made = answers === 'rows' ? [row] : isRow && isLone ? row : 1;
  const isSignedIn = usesCaller.id || usesCaller.roles;
  const asked = {
    ...given,
    ...(clears ? { clears: [] } : {}),
    ...(usesCaller.id ? { caller_id: CALLER.id } : {}),
    ...(usesCaller.roles ? { caller_roles: CALLER.roles } : {}),
  };
  const alias = aliasOf(routine, tested.action);
  const start = (answer: string): string =>
    `const domain = testDomain(template, { objects: { ${alias}: () => ${answer} }${isSignedIn ? ', user' : ''} });`;
  const call = (values: Readonly<Record<string, unknown>>): string => callText(operation, values, tested.key);
  const expected = made === 1 ? { affected: 1 } : tested.action === undefined ? made : nested(tested.action, row);
  const first: Test = {
    title: `${operation} asks the database${isSignedIn ? ' for who is signed in' : ''}, and answers what it says`,
    lines: [
      start(answerText(made, routine)),
      `assert.deepEqual(await ${call(given)}, ${literalOf(expected)});`,
      `assert.deepEqual(domain.$calls, [{ alias: ${literalOf(alias)}, args: ${literalOf(asked)} }]);`,
    ],
  };
  const isCore = operation === 'update' || operation === 'delete';
  const missing: Test = {
    title: `${operation} says when there is no such record`,
    lines: [
      start(made === 1 ? '0' : 'undefined'),
      `await assert.rejects(${call(given)}, { code: 'BEDS_TEMPLATE_NOT_FOUND' });`,
    ],
  };
  const cleared = clears ? args.find(({ isLoose }) => isLoose) : undefined;
  return [first, ...(isCore ? [missing] : []), ...(cleared === undefined ? [] : [clearing(cleared.name)])];

  /** n.b. absent keeps, null clears: the procedure knows one of them only. */
  function clearing(name: string): Test {
    return {
      title: `${operation} says what is given as null`,
      lines: [
        start(answerText(made, routine)),
        `await ${call({ ...given, [name]: null })};`,
        `assert.deepEqual(domain.$calls[0]?.args['clears'], ${literalOf([name])});`,
      ],
    };
  }
}

/** n.b. a word of an enum would be any text otherwise. */
function answerText(made: unknown, { columns }: ServedRoutine): string {
  const isExact = columns.some(({ template }) => template.includes('t.enum('));
  const text = `${literalOf(made)}${isExact && made !== 1 ? ' as const' : ''}`;
  return text.startsWith('{') ? `(${text})` : text;
}

function callText(operation: string, values: Readonly<Record<string, unknown>>, key: string): string {
  const { [key]: id, ...rest } = values;
  if (operation === 'update') return `domain.update(${literalOf(id)}, ${literalOf(rest)})`;
  if (operation === 'delete') return `domain.delete(${literalOf(id)})`;
  return `domain.${operation}(${literalOf(values)})`;
}

/** The one row that the procedure gives, record by record as callers get it. */
function nested({ rows, returns }: ServedAction, row: Readonly<Record<string, unknown>>): unknown {
  if (rows.length === 0) return row;
  return Object.fromEntries([
    ...returns.map(({ name }) => [name, row[name]] as const),
    ...rows.map(
      ({ as, columns }) => [as, Object.fromEntries(columns.map(({ name, field }) => [field, row[name]]))] as const,
    ),
  ]);
}
