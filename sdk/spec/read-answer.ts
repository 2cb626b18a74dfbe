import type { Problem } from './checked.js';

/** What a model, or a person with a chat program, has answered: the one JSON document in it. Never repaired by closing brackets. */
export type ReadAnswer =
  { readonly ok: true; readonly document: unknown } | { readonly ok: false; readonly problem: Problem };

function refused(code: string, message: string, example: string): ReadAnswer {
  return { ok: false, problem: { path: '', code, message, example, severity: 'error' } };
}

export function readAnswer(text: string, { isCutOff = false }: { readonly isCutOff?: boolean } = {}): ReadAnswer {
  const objects = objectsIn(text);
  const documents = objects.flatMap((object) => parsed(object) ?? []).filter((value) => typeof value === 'object');
  const likely = documents.filter((value) => 'beds' in value);
  const first = likely[0] ?? documents[0];
  if (likely.length > 1 && new Set(documents.map((value) => JSON.stringify(value))).size > 1) {
    return refused('two-documents', 'there are two different documents.', 'Return one JSON object and nothing else.');
  }
  if (first !== undefined && !isCutOff) return { ok: true, document: first };
  if (isCutOff || isOpen(text)) {
    return refused(
      'cut-off',
      'the document ends in the middle.',
      'Return the whole document again, shorter: the largest record first, short descriptions.',
    );
  }
  if (objects.length === 0)
    return refused(
      'not-json',
      'there is no JSON object in the answer.',
      'Return one JSON object and nothing else. It begins {"beds": 1, "domain": …',
    );
  return refused(
    'not-json',
    `it is no JSON: ${whyNot(objects[0] ?? '')}.`,
    'Return one JSON object and nothing else, with double quotation marks and no comments.',
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function whyNot(text: string): string {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : 'unreadable';
  }
}

/** The texts from an opening brace to its own closing one, outermost ones only. */
function objectsIn(text: string): readonly string[] {
  const found: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { index, sign } of bracesOf(text)) {
    if (sign === '{') {
      if (depth === 0) start = index;
      depth += 1;
    } else if (depth > 0) {
      depth -= 1;
      if (depth === 0) found.push(text.slice(start, index + 1));
    }
  }
  return found;
}

function isOpen(text: string): boolean {
  let depth = 0;
  for (const { sign } of bracesOf(text)) depth += sign === '{' ? 1 : -1;
  return depth > 0;
}

/** Braces that are not inside of a JSON text. Before the first brace there are no texts: prose has apostrophes and quotes of its own. */
function bracesOf(text: string): readonly { readonly index: number; readonly sign: string }[] {
  const braces: { index: number; sign: string }[] = [];
  let depth = 0;
  let isText = false;
  for (let index = 0; index < text.length; index += 1) {
    const sign = text.charAt(index);
    if (isText) {
      if (sign === '\\') index += 1;
      else if (sign === '"') isText = false;
    } else if (sign === '"' && depth > 0) isText = true;
    else if (sign === '{' || sign === '}') {
      depth = Math.max(0, depth + (sign === '{' ? 1 : -1));
      braces.push({ index, sign });
    }
  }
  return braces;
}
