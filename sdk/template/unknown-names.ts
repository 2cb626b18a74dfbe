/** A name that nobody knows, in an object that has a fixed set of them. */
export interface UnknownName {
  /** Of the object: `query.order[0]`. */
  readonly path: string;
  readonly name: string;
  readonly known: readonly string[];
}

/** An object of a request that has a fixed set of names. */
export interface NamedParts {
  readonly path: string;
  readonly value: unknown;
  readonly known: readonly string[];
}

/** Names that are written out in one message. */
const MOST_NAMES = 8;

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;

/** Whether a name may be repeated to whoever sent it: anything else may be a value in the wrong place. */
export function isPlainName(name: string): boolean {
  return PLAIN_NAME.test(name);
}

/** Every name that is not known, in order. */
export function unknownNames(parts: readonly NamedParts[]): readonly UnknownName[] {
  return parts.flatMap(({ path, value, known }) =>
    (isParts(value) ? Object.keys(value) : [])
      .filter((name) => !known.includes(name))
      .map((name) => ({ path, name, known })),
  );
}

/** Where a name is. One that is not plain is not repeated. */
export function placeOf({ path, name }: Pick<UnknownName, 'path' | 'name'>): string {
  if (!isPlainName(name)) return path;
  return path === '' ? name : `${path}.${name}`;
}

/** A sentence that names them all, and what there is instead. `hint` is put behind each, as in `(did you mean where?)`. */
export function unknownText(
  unknown: readonly UnknownName[],
  hint: (name: string, known: readonly string[]) => string = () => '',
): string {
  const named = unknown.slice(0, MOST_NAMES).map((each) => {
    const { path, name, known } = each;
    if (isPlainName(name)) return `${placeOf(each)}${hint(name, known)}`;
    return path === '' ? 'a name that is no identifier' : `a name in ${path} that is no identifier`;
  });
  const more = unknown.length > named.length ? [`${unknown.length - named.length} more`] : [];
  const sets = [...new Set(unknown.map(({ known }) => known))].map((known) => known.join(', '));
  return `Unknown: ${[...named, ...more].join(', ')}. Known there: ${sets.join('; ')}.`;
}

function isParts(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
