import { rm } from 'node:fs/promises';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTemplate, type BuiltBundle } from '../build/index.js';
import { isBedsError } from '../template/errors.js';
import type { AuthorTools, Finding } from './author.js';
import type { AuthorSources, PlacedFinding } from './author-sources.js';

/** What is thought of a domain as it stands. */
export interface Judgement {
  readonly findings: readonly PlacedFinding[];
  /** What could be better, and keeps the domain from nothing. */
  readonly notices: readonly PlacedFinding[];
  /** What could not be asked, and why. */
  readonly skipped: readonly string[];
  /** `cities 1.0.0`; undefined where it does not build. */
  readonly version: string | undefined;
}

/** A build, or everything that keeps the template from being built. */
export type BuildOutcome =
  | { readonly ok: true; readonly bundle: BuiltBundle }
  | { readonly ok: false; readonly findings: readonly PlacedFinding[] };

export interface JudgedDomain {
  readonly entry: string;
  readonly sources: AuthorSources;
  readonly tools: () => Promise<AuthorTools>;
}

/** Everything that admission would say of a domain, and its types, each with the author's line where there is one. */
export async function judge({ entry, sources, tools }: JudgedDomain): Promise<Judgement> {
  const outDir = mkdtempSync(join(tmpdir(), 'beds-check-'));
  try {
    const types = sources.check();
    const built = await tryBuild({ entry, outDir }, sources);
    if (!built.ok) {
      return { findings: withoutTwins(types, built.findings), notices: [], skipped: [], version: undefined };
    }
    const { manifest, path } = built.bundle;
    const names = Object.values(manifest.objects).map(({ name }) => name);
    const toolbox = await tools();
    const [database, host] = await Promise.all([toolbox.checkObjects(manifest), toolbox.checkWithHost(path)]);
    const opinions = [database, host];
    const place = (finding: Finding): PlacedFinding => placed(finding, names, sources);
    const findings = opinions.flatMap((opinion) => opinion.findings.map(place));
    return {
      findings: templateFirst(unique([...types, ...findings])),
      notices: unique(opinions.flatMap(({ notices = [] }) => notices.map(place))),
      // A host that answers has asked the database.
      skipped: host.skipped === undefined ? [] : opinions.flatMap(({ skipped }) => skipped ?? []),
      version: `${manifest.domain} ${manifest.version}`,
    };
  } finally {
    await rm(outDir, { recursive: true, force: true });
  }
}

/** Builds, and turns what is refused into findings with their places. */
export async function tryBuild(
  options: { readonly entry: string; readonly outDir: string },
  sources: AuthorSources,
): Promise<BuildOutcome> {
  try {
    return { ok: true, bundle: await buildTemplate({ ...options, form: 'folder' }) };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    const { code, message, hint } = error;
    const [first = '', ...lines] = message.split('\n');
    const parts = lines.join('\n').split(/^- /m).slice(1);
    const findings =
      parts.length === 0
        ? [placedByText({ code, message, ...(hint === undefined ? {} : { hint }) }, sources)]
        : parts.map((part) => placedPart({ code, message: part.trim() }, sources));
    return { ok: false, findings: findings.length === 0 ? [{ code, message: first }] : findings };
  }
}

const IS_SYNTAX = /\(TS1\d{3}\)$/;

/**
 * What the compiler and the builder say. Of an import that both cannot find, what the builder says, which knows what to do; a file
 * that cannot be read is the compiler's to tell.
 */
export function withoutTwins(
  types: readonly PlacedFinding[],
  refused: readonly PlacedFinding[],
): readonly PlacedFinding[] {
  if (types.some(({ message }) => IS_SYNTAX.test(message))) return types;
  const place = ({ file, line, column }: PlacedFinding): string => [file, line, column].join(':');
  const places = new Set(refused.filter(({ code }) => code === 'BEDS_BUILD_REFUSED').map(place));
  return [...types.filter((finding) => !places.has(place(finding))), ...refused];
}

const PLACE = /^(\S+?):(\d+)(?::(\d+))?\s+/;
const PLACE_IN_TEXT = /(?<![\w/])([\w./-]+\.[jt]s):(\d+):(\d+)/;

const REMEDY = /^(.*?) \(([^]+)\)$/;

/** One line of many: `template.ts:3:8 "mysql2" may not be imported (Use …)`, or `operations.count.mode must be …`. */
function placedPart(finding: Finding, sources: AuthorSources): PlacedFinding {
  const [all = '', file, line, column] = PLACE.exec(finding.message) ?? [];
  if (file !== undefined) {
    const said = finding.message.slice(all.length);
    const [, message = said, hint] = REMEDY.exec(said) ?? [];
    return {
      ...finding,
      message,
      ...(hint !== undefined && { hint }),
      file,
      line: Number(line),
      ...(column === undefined ? {} : { column: Number(column) }),
    };
  }
  const [path = ''] = finding.message.split(/\s/);
  return sources.placePath(path, finding);
}

function placedByText(finding: Finding, sources: AuthorSources): PlacedFinding {
  const [, file, line, column] = PLACE_IN_TEXT.exec(finding.message) ?? [];
  if (file === undefined) return sources.placeWhole(finding);
  return { ...finding, file, line: Number(line), column: Number(column) };
}

/** At the object of the database that it speaks of, if it does of one. */
export function placed(finding: Finding, objects: readonly string[], sources: AuthorSources): PlacedFinding {
  const words = new Set(finding.message.split(/[^\w$.-]+|[.,;:]+(?=\s|$)/));
  const object = objects.find((name) => words.has(name));
  if (object === undefined) return placedByText(finding, sources);
  const file = finding.code === 'BEDS_PREFLIGHT_OBJECT_MISSING' ? sources.databaseFileOf(object) : undefined;
  const hint = `${file} names it: \`beds db apply\` makes and grants it. Where the host is elsewhere, give its account: --account <user>.`;
  return sources.placeObject(object, file === undefined ? finding : { ...finding, hint });
}

/** What is wrong with a template makes its tests wrong as well. */
function templateFirst(findings: readonly PlacedFinding[]): readonly PlacedFinding[] {
  const isOfTest = ({ file = '' }: PlacedFinding): boolean => file.includes('.test.');
  return [...findings.filter((each) => !isOfTest(each)), ...findings.filter(isOfTest)];
}

/** A database and a host that looks at the same one say the same. */
function unique(findings: readonly PlacedFinding[]): readonly PlacedFinding[] {
  const seen = new Map(findings.toReversed().map((finding) => [`${finding.code} ${finding.message}`, finding]));
  return [...seen.values()].reverse();
}
