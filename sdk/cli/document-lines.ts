/** Finds the line of a part of a JSON document by its path: `actions.book.steps[2]`, where lists of named things are gone into by name. */

interface Part {
  readonly at: number;
  readonly members: readonly (readonly [name: string, part: Part])[];
  readonly items: readonly Part[];
  readonly text?: string;
}

/** Undefined where the document has no such part: then the nearest that it has. */
export function lineOfPath(document: string, path: string): number | undefined {
  const start = document.indexOf('{');
  if (start < 0) return undefined;
  let part: Part;
  try {
    part = new Reader(document, start).read();
  } catch {
    return undefined;
  }
  for (const step of path.split(/[.[\]]+/).filter(Boolean)) {
    const next = inside(part, step);
    if (next === undefined) break;
    part = next;
  }
  return document.slice(0, part.at).split('\n').length;
}

function inside(part: Part, step: string): Part | undefined {
  const member = part.members.find(([name]) => name === step)?.[1];
  if (member !== undefined) return member;
  if (/^\d+$/.test(step)) return part.items[Number(step)];
  return part.items.find((item) => item.members.some(([name, value]) => name === 'name' && value.text === step));
}

/** n.b. of a document that was parsed before: it is JSON. */
class Reader {
  readonly #text: string;
  #at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  read(): Part {
    this.#space();
    const at = this.#at;
    const sign = this.#text.charAt(at);
    if (sign === '{')
      return { at, items: [], members: this.#list('}', () => [this.#string(), this.#value()] as const) };
    if (sign === '[') return { at, members: [], items: this.#list(']', () => this.read()) };
    if (sign === '"') return { at, members: [], items: [], text: this.#string() };
    const [word = ''] = /^[^\s,\]}]+/.exec(this.#text.slice(at)) ?? [];
    if (word === '') throw new SyntaxError('no value');
    this.#at += word.length;
    return { at, members: [], items: [] };
  }

  #value(): Part {
    this.#space();
    this.#at += 1;
    return this.read();
  }

  #list<T>(end: string, one: () => T): readonly T[] {
    const all: T[] = [];
    this.#at += 1;
    for (;;) {
      this.#space();
      if (this.#text.charAt(this.#at) === end) break;
      if (this.#at >= this.#text.length) throw new SyntaxError('no end');
      if (this.#text.charAt(this.#at) === ',') this.#at += 1;
      else all.push(one());
    }
    this.#at += 1;
    return all;
  }

  #string(): string {
    const [text = ''] = /^"(?:[^"\\]|\\.)*"/.exec(this.#text.slice(this.#at)) ?? [];
    if (text === '') throw new SyntaxError('no text');
    this.#at += text.length;
    return JSON.parse(text) as string;
  }

  #space(): void {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at += 1;
  }
}
