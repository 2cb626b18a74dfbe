import { type Findings, seen } from './findings.js';
import type { FieldSpec, RecordSpec, Specification } from './language.js';

/** What is allowed and yet mostly a mistake: things that models and people forget, invent or mix up. */

export interface CheckOptions {
  /** The brief that the document answers: what it does not ask for is noticed then. */
  readonly brief?: string;
}

const CASELESS = /(?:^|_)(?:email|e_mail|login|username|plate|licence|license|sku|code|iban)(?:$|_)/;
const ENDING = /^(?:until|expires|expires_at|expires_on|valid_to|valid_until|ends_at|held_until|expiry|due_until)$/;

export function giveAdvice(findings: Findings, specification: Specification, { brief }: CheckOptions): void {
  const text = JSON.stringify({
    ...specification,
    records: specification.records.map((record) => ({ ...record, rules: [] })),
  });
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
  // The end of a span is looked at by whoever looks at the span.
  const isEnd = (record.no_overlap ?? []).some(({ end }) => end === field.name);
  const isCompared = isEnd || new RegExp(`"[^"]*\\b${field.name}\\b[^"]*[<>]|[<>][^"]*\\b${field.name}\\b`).test(text);
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
    const whole = specification.records.find(({ name }) => name === field.references);
    // n.b. what ends by itself is deleted because the brief says so.
    if (whole?.soft_delete === true || whole?.expires?.delete === true) continue;
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

const MONTHS =
  'january february march april june july august september october november december januar februar märz mai juni juli oktober dezember janvier février mars avril juin juillet août septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre'.split(
    ' ',
  );
/** n.b. "3 may book" is no day. */
const MONTH = ['May', ...MONTHS, ...MONTHS.map((name) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`)].join('|');
const DAY = String.raw`\d{1,2}(?:er|st|nd|rd|th|\.|º)?`;
const DAYS_AND_NAMES = [
  /\b\d{1,2}\.\d{1,2}\.(?:\d{2,4})?/g,
  /(?<![\p{L}\d])\d{4}(?:-\d+)+(?!\d)/gu,
  new RegExp(
    String.raw`(?<![\p{L}\d])(?:${DAY} (?:ou|or|oder|o) (?:le |the |el )?)?${DAY} (?:de |of )?(?:${MONTH})(?!\p{L})`,
    'gu',
  ),
  // "1, 2, 3 …" is how something is counted.
  /(?<![\p{L}\d])1, ?2(?:, ?3)?(?:, ?4)?,? ?(?:\.{2,}|…|etc|usw|and so on)/gu,
] as const;
/** n.b. "am 17. März" goes on. */
const ENDS_OF_SENTENCES = new RegExp(String.raw`(?<=[.!?;])(?!(?<=\b\d{1,2}\.)\s+(?:${MONTH})(?!\p{L}))\s+|\n+`, 'u');

/** The sentences of a brief, in order. */
export function sentencesOf(brief: string): readonly string[] {
  return brief
    .split(ENDS_OF_SENTENCES)
    .map(seen)
    .filter((sentence) => sentence.length > 2);
}

/** Sentences and names of the brief against those of the document. */
function adviseBrief(findings: Findings, specification: Specification, brief: string): void {
  const sentences = sentencesOf(brief);
  adviseCovers(findings, specification, sentences);
  adviseNumbers(findings, specification, sentences);
  adviseLanguage(findings, specification, brief);
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

/** Each sentence is answered: by something that keeps it, or by an assumption or a question. No list of words says which ones matter, in whatever language. */
function adviseCovers(findings: Findings, specification: Specification, sentences: readonly string[]): void {
  const { covers = [], assumptions, questions } = specification;
  const covered = new Set(covers.map(({ sentence }) => sentence));
  const open = sentences.flatMap((text, index) => (covered.has(index + 1) ? [] : [{ text, number: index + 1 }]));
  const [first] = open;
  if (first !== undefined) {
    const listed = open.slice(0, 12).map(({ text, number }) => `sentence ${String(number)}, "${text.slice(0, 100)}"`);
    findings.error('covers', 'not-covered', {
      message: `${listed.join('; ')}${open.length > 12 ? '; and more' : ''}: kept by nothing that covers names.`,
      example: `{"sentence": ${String(first.number)}, "paths": ["records.${specification.records[0]?.name ?? 'x'}.rules"]}, or "paths": [] where a question or an assumption answers it`,
    });
  }
  const empty = covers.find(({ paths }) => paths.length === 0);
  if (empty !== undefined && assumptions.length + questions.length === 0)
    findings.error('covers', 'not-covered', {
      message: `sentence ${String(empty.sentence)} is answered by no path, and there is neither an assumption nor a question.`,
    });
  const beyond = covers.find(({ sentence }) => sentence > sentences.length);
  if (beyond !== undefined)
    findings.advice('covers', 'unknown-name', {
      message: `there is no sentence ${String(beyond.sentence)}: the brief has ${String(sentences.length)}.`,
    });
}

/** Factors between units: minutes and hours, hours and days, weeks, months, percent, thousands. */
const FACTORS = [1, 60, 24, 7, 12, 100, 1000];

/** A number of the brief is a bound, a span, a price: it stands somewhere in the document, or an assumption says what became of it. */
function adviseNumbers(findings: Findings, specification: Specification, sentences: readonly string[]): void {
  const { covers: _, examples: __, ...document } = specification;
  const text = JSON.stringify(document);
  const masks = specification.records.flatMap(({ fields }) =>
    fields.flatMap((field) => (field.type === 'text' && field.mask !== undefined ? [field.mask.length] : [])),
  );
  const known = new Set([...numbersIn(text).flat(), ...masks, 0, 1]);
  const isKnown = (value: number): boolean =>
    FACTORS.some((factor) => [value * factor, value / factor].some((one) => known.has(rounded(one)))) ||
    [1 + value / 100, 1 - value / 100, 100 - value].some((one) => known.has(rounded(one)));
  for (const [index, sentence] of sentences.entries()) {
    const missing = numbersIn(sentence).find((readings) => !readings.some(isKnown));
    if (missing === undefined) continue;
    findings.error('covers', 'number-missing', {
      message: `sentence ${String(index + 1)}, "${sentence.slice(0, 100)}", says ${String(missing[0])}, and nothing in the document does.`,
      example: 'a max, a rule, a check or a row with it, or an assumption that says what became of it',
    });
  }
}

function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

/**
 * The numbers in a text, each as it may be read: 1.000 is a thousand or one. Days such as 1.1. or 31 January, names such as 2026-0001
 * and numbers of lists are none.
 */
function numbersIn(text: string): readonly (readonly number[])[] {
  const plain = DAYS_AND_NAMES.reduce((rest, day) => rest.replaceAll(day, ' '), text).replace(/^\s*\d+[.)]\s/, ' ');
  const found = plain.matchAll(/(?<![\p{L}\d])\d+(?:[.,'’]\d+)*(?!\d|\p{L}{3})/gu);
  return [...found].map(([number]) => [
    ...new Set([number.replace(',', '.').replaceAll(/['’]/g, ''), number.replaceAll(/[.,'’]/g, '')].map(Number)),
  ]);
}

/** Words that tell languages apart. */
const COMMON: Readonly<Record<string, readonly string[]>> = {
  English: ['the', 'and', 'of', 'is', 'are', 'with', 'for', 'by', 'not', 'must'],
  German: ['der', 'die', 'das', 'und', 'ist', 'mit', 'nicht', 'ein', 'eine', 'wird', 'für', 'pro'],
  Spanish: ['el', 'la', 'los', 'las', 'y', 'con', 'para', 'que', 'una', 'por', 'se', 'hay'],
  French: ['le', 'les', 'et', 'est', 'avec', 'pour', 'une', 'des', 'dans', 'qui', 'pas'],
  Italian: ['il', 'gli', 'di', 'che', 'con', 'per', 'una', 'sono', 'non', 'della'],
};
/** Words that are English as well. */
const INTERNATIONAL = new Set(
  'point credit debit account note page client contact article service name status state date time hotel bus person position station model kind code text test order version model region total normal taxi team tag plan park club bar box sport film foto radio signal system service server student agent studio'.split(
    ' ',
  ),
);

/** Names are English: a name that is a word of a brief in another language was not translated. */
function adviseLanguage(findings: Findings, specification: Specification, brief: string): void {
  const words = brief.toLowerCase().match(/\p{L}+/gu) ?? [];
  const counts = Object.entries(COMMON).map(
    ([language, common]) => [language, words.filter((word) => common.includes(word)).length] as const,
  );
  const [language = 'English', count = 0] = counts.toSorted(([, a], [, b]) => b - a)[0] ?? [];
  if (language === 'English' || count < 3) return;
  const plain = new Set(words.map((word) => word.normalize('NFKD').replaceAll(/\p{M}/gu, '')));
  const names = [
    ...specification.records.flatMap((record) => [record.name, ...record.fields.map(({ name }) => name)]),
    ...[...(specification.queries ?? []), ...(specification.actions ?? [])].flatMap(({ name, args = [] }) => [
      name,
      ...args.map((argument) => argument.name),
    ]),
  ];
  const foreign = [...new Set(names)].filter((name) =>
    name.split('_').some((part) => part.length > 3 && plain.has(part) && !INTERNATIONAL.has(part)),
  );
  if (foreign.length === 0) return;
  findings.advice('records', 'language', {
    message: `${foreign.slice(0, 8).join(', ')}: words of the brief, which is in ${language}. Names are English; values that callers send may be those of the brief, which is worth a question.`,
    example: '"was" keeps the other name',
  });
}
