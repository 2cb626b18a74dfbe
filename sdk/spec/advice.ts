import type { Findings } from './findings.js';
import type { FieldSpec, RecordSpec, Specification } from './language.js';

/** What is allowed and yet mostly a mistake: things that models and people forget, invent or mix up. */

export interface CheckOptions {
  /** The brief that the document answers: what it does not ask for is noticed then. */
  readonly brief?: string;
}

const CASELESS = /(?:^|_)(?:email|e_mail|login|username|plate|licence|license|sku|code|iban)(?:$|_)/;
const ENDING = /^(?:until|expires|expires_at|expires_on|valid_to|valid_until|ends_at|held_until|expiry|due_until)$/;

export function giveAdvice(findings: Findings, specification: Specification, { brief }: CheckOptions): void {
  const text = JSON.stringify(specification);
  for (const record of specification.records) {
    const path = `records.${record.name}`;
    for (const field of record.fields) adviseField(findings, `${path}.fields.${field.name}`, { record, field, text });
    adviseStates(findings, path, record);
    adviseCascade(findings, path, { record, specification });
  }
  adviseYears(findings, specification, brief);
  if (brief !== undefined) adviseBrief(findings, specification, brief);
}

function adviseField(
  findings: Findings,
  path: string,
  { record, field, text }: { readonly record: RecordSpec; readonly field: FieldSpec; readonly text: string },
): void {
  const isUnique =
    (typeof record.key !== 'string' && record.key.includes(field.name)) ||
    (record.unique ?? []).some(({ fields }) => fields.includes(field.name));
  if (
    field.type === 'text' &&
    isUnique &&
    CASELESS.test(field.name) &&
    field.letter_case === undefined &&
    field.mask === undefined
  ) {
    findings.advice(path, 'letter-case', {
      message: `${field.name} is unique, and "A" and "a" differ.`,
      example: '"letter_case": "lower"',
    });
  }
  const isTime = field.type === 'timestamp' || field.type === 'date';
  const isCompared = new RegExp(
    `\\b${field.name}\\b[^"]*[<>][^"]*@(?:now|today)|@(?:now|today)[^"]*[<>][^"]*\\b${field.name}\\b`,
  ).test(text);
  if (isTime && ENDING.test(field.name) && record.expires === undefined && !isCompared) {
    findings.advice(path, 'nobody-ends-it', {
      message: `nothing happens at ${field.name}: who ends it?`,
      example: `"expires": {"when": "state = 'held'", "at": "${field.name}", "set": ["state = 'free'"]}, or a filter "${field.name} > @now" in every reader`,
    });
  }
  if (
    (field.type === 'integer' || field.type === 'float') &&
    'unit' in field &&
    field.unit === undefined &&
    /(?:duration|length|weight|distance|volume|size)$/.test(field.name)
  ) {
    findings.advice(path, 'unit', { message: `in which unit is ${field.name}?`, example: '"unit": "min"' });
  }
}

function adviseStates(findings: Findings, path: string, record: RecordSpec): void {
  const active = record.fields.find(
    ({ name, type }) =>
      type === 'boolean' && ['active', 'is_active', 'enabled', 'open', 'closed', 'deleted'].includes(name),
  );
  if (active === undefined || (record.states === undefined && record.soft_delete !== true)) return;
  const other = record.states === undefined ? 'soft_delete' : record.states.field;
  findings.advice(`${path}.fields.${active.name}`, 'ambiguous', {
    message: `${active.name} and ${other} may contradict each other. Derive one.`,
    example: `"computed": "${other} = 'open'"`,
  });
}

function adviseCascade(
  findings: Findings,
  path: string,
  { record, specification }: { readonly record: RecordSpec; readonly specification: Specification },
): void {
  for (const field of record.fields) {
    if (field.type !== 'reference' || field.on_delete !== 'cascade') continue;
    const isReported = (specification.queries ?? []).some(
      (query) => query.from === record.name && query.group_by !== undefined,
    );
    if (record.immutable_when === undefined && !isReported) continue;
    findings.error(`${path}.fields.${field.name}.on_delete`, 'history-lost', {
      message: `deleting ${/^[aeiou]/.test(field.references) ? 'an' : 'a'} ${field.references} would remove ${record.name} that reports of the past read.`,
      example: `"on_delete": "restrict", or "soft_delete": true in ${field.references}`,
    });
  }
}

/** A year in a formula is right for a year. */
function adviseYears(findings: Findings, specification: Specification, brief = ''): void {
  const look = (value: unknown, path: string): void => {
    if (typeof value === 'string') {
      const year = /'(2[0-9]{3})-\d\d(?:-\d\d)?/.exec(value)?.[1];
      if (year !== undefined && !brief.includes(year))
        findings.advice(path, 'fixed-year', {
          message: `where does ${year} come from?`,
          example: "@today, trunc(@today, 'year')",
        });
    }
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      const name = (inner as { readonly name?: unknown } | null)?.name;
      look(
        inner,
        typeof name === 'string' ? `${path}.${name}` : /^\d+$/.test(key) ? `${path}[${key}]` : `${path}.${key}`,
      );
    }
  };
  for (const part of ['records', 'queries', 'actions'] as const) {
    const withoutRows = (specification[part] ?? []).map((one) => ({ ...one, rows: undefined, description: '' }));
    look(withoutRows, part);
  }
}

/** Words that begin what must be kept. */
const MODAL =
  /\b(?:must|never|only|once|at most|at least|may|can't|cannot|not|max|min|between|unique|until|after|before|same|twice|every|each|no)\b|\b(?:muss|darf|nie|nur|höchstens|mindestens|kein|keine|nicht|pro|genau|zweimal)\b|\b(?:no|nunca|sólo|solo|máximo|mínimo|puede|debe|hasta|cada)\b/i;

/** The sentences of a brief, in order. */
export function sentencesOf(brief: string): readonly string[] {
  return brief
    .split(/(?<=[.!?;])\s+|\n+/)
    .map((sentence) => sentence.trim())
    .filter((sentence) => sentence.length > 2);
}

/** Names and sentences of the brief against those of the document. */
function adviseBrief(findings: Findings, specification: Specification, brief: string): void {
  const covered = new Set((specification.covers ?? []).map(({ sentence }) => sentence));
  const open = sentencesOf(brief).flatMap((sentence, index) =>
    MODAL.test(sentence) && !covered.has(index + 1) ? [{ sentence, number: index + 1 }] : [],
  );
  for (const { sentence, number } of open) {
    findings.error('covers', 'not-covered', {
      message: `sentence ${String(number)}, "${sentence.slice(0, 100)}", is kept by nothing that covers names.`,
      example: `{"sentence": ${String(number)}, "paths": ["records.${specification.records[0]?.name ?? 'x'}.rules"]}, or "paths": [] where a question or an assumption answers it`,
    });
  }
  const named = (specification.covers ?? []).flatMap(({ paths }) => paths).join(' ');
  const used = JSON.stringify([specification.queries ?? [], specification.actions ?? []]);
  for (const { name } of specification.records.slice(1)) {
    const isReferred = specification.records.some(
      (other) => other.name !== name && JSON.stringify(other).includes(`"${name}"`),
    );
    if (named.includes(`.${name}`) || isReferred || new RegExp(`\\b${name}\\b`).test(used)) continue;
    findings.error(`records.${name}`, 'not-asked-for', {
      message: `no sentence asks for ${name}, and nothing uses it. Leave it out, or put a question.`,
    });
  }
}
