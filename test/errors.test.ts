import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { ErrorSpec } from '#sdk/template';
import type TypeScript from 'typescript';
import { OTHER_VARIABLES, variableName } from '../host/config/environment.js';
import { sections } from '../host/config/fields.js';
import { catalogue, catalogueAreas, errorsMarkdown } from '../host/errors/catalogue.js';
import { sourceFiles, type SourceFile } from './support/source-files.js';
import { ts } from './support/typescript.js';

const CODE = /\bBEDS_[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?!_?\*)/g;
const sources = sourceFiles('.', ['host', 'sdk']);

/** Names that look like codes but are environment variables. */
function isVariable(text: string): boolean {
  const prefixes = sections.map(({ key }) => `${variableName([key])}_`);
  return (
    Object.hasOwn(OTHER_VARIABLES, text) ||
    text.startsWith('BEDS_TEST_') ||
    text.startsWith('BEDS_BENCH_') ||
    (!catalogue.has(text) && prefixes.some((prefix) => text.startsWith(prefix) && text !== prefix && isKey(text)))
  );
}

function isKey(variable: string): boolean {
  return sections.some(({ key, named, fields }) =>
    fields.some((field) =>
      named
        ? variable.startsWith(`${variableName([key])}_`) &&
          variable.endsWith(variableName([field.key]).slice('BEDS'.length))
        : variable === variableName([key, field.key]),
    ),
  );
}

/** The codes in the string literals of a file, where errors are made, compared and typed; keys of tables do not count. */
function usedCodes({ path, text }: SourceFile): readonly string[] {
  const codes: string[] = [];
  const visit = (node: TypeScript.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) codes.push(...(node.text.match(CODE) ?? []));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return codes;
}

interface ExportedTable {
  readonly path: string;
  readonly specs: Readonly<Record<string, ErrorSpec>>;
}

function isTable(value: unknown): value is Pick<ExportedTable, 'specs'> {
  return typeof value === 'object' && value !== null && 'specs' in value && 'make' in value;
}

/** The tables of every source that calls `defineErrors`, loaded from what was compiled of it. */
async function exportedTables(): Promise<readonly ExportedTable[]> {
  const declaring = sources.filter(
    ({ path, text }) => text.includes('= defineErrors(') && path !== 'sdk/template/errors.ts',
  );
  const tables = declaring.map(async ({ path }) => {
    const compiled = path.startsWith('sdk/') ? path.replace(/^sdk\//, 'sdk/dist/') : `dist/${path}`;
    const url = pathToFileURL(resolve(compiled.replace(/\.ts$/, '.js'))).href;
    const exported = Object.values((await import(url)) as Record<string, unknown>).filter(isTable);
    assert.ok(exported.length > 0, `${path} declares errors but does not export the table`);
    return exported.map(({ specs }) => ({ path, specs }));
  });
  return (await Promise.all(tables)).flat();
}

describe('the catalogue of errors', () => {
  it('holds every table that the host and the SDK declare', async () => {
    for (const { path, specs } of await exportedTables()) {
      for (const code of Object.keys(specs)) assert.ok(catalogue.has(code), `${code} of ${path} is not catalogued`);
    }
  });

  it('declares no code twice', () => {
    const codes = catalogueAreas.flatMap(({ specs }) => Object.keys(specs));
    assert.deepEqual(
      codes.filter((code, index) => codes.indexOf(code) !== index),
      [],
    );
  });

  it('has every code that the sources mention, comments included', () => {
    const unknown = sources.flatMap(({ path, text }) =>
      (text.match(CODE) ?? [])
        .filter((code) => !catalogue.has(code) && !isVariable(code))
        .map((code) => `${code} in ${path}`),
    );
    assert.deepEqual([...new Set(unknown)], []);
  });

  it('has no code that nothing uses', () => {
    const used = new Set(sources.flatMap(usedCodes));
    assert.deepEqual(
      [...catalogue.keys()].filter((code) => !used.has(code)),
      [],
    );
  });

  for (const [code, spec] of catalogue) {
    it(`${code} reads BEDS_<AREA>_<REASON> and says in sentences what happened and what to do`, () => {
      assert.match(code, /^BEDS_[A-Z]+(?:_[A-Z]+)+$/);
      assert.match(spec.message, /^\S.*[.?]$/s);
      assert.match(spec.action, /^\S.*[.?]$/s);
    });
  }

  it('is what host/ERRORS.md says', () => {
    assert.ok(readFileSync('host/ERRORS.md', 'utf8') === errorsMarkdown(), 'run npm run docs:errors');
  });
});
