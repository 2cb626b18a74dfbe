import type { CheckedSpecification } from '../spec/index.js';

/** A construct that a generator does not make, by its place in the document and its name. It is never made by half. */
export interface Refusal {
  /** `actions.book.steps[2]`, as the problems of the checker have it. */
  readonly path: string;
  readonly construct: string;
}

/** Collects what cannot be made, so that all of it is said at once. */
export class Refusals {
  readonly found: Refusal[] = [];

  add(path: string, construct: string): void {
    if (!this.found.some((one) => one.path === path && one.construct === construct))
      this.found.push({ path, construct });
  }
}

export type Generated =
  | { readonly files: Readonly<Record<string, string>>; readonly refused?: never }
  /** All that this generator cannot make; nothing of the domain is made then. */
  | { readonly refused: readonly Refusal[]; readonly files?: never };

export function packageText({ domain, source }: CheckedSpecification): string {
  const content = {
    name: `@beds-plugins/${domain}`,
    version: `${String(source.revision ?? 1)}.0.0`,
    private: true,
    description: source.description,
    type: 'module',
    beds: { store: source.store },
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}
