/** Domains that are served by a process of their own. */
export interface Cell {
  /** Name of its thread group; no group of the configuration has one like it. */
  readonly group: string;
  readonly domains: ReadonlySet<string>;
  /** Domains that the code of these calls; they are served elsewhere, and loaded here as well. */
  readonly needs: ReadonlySet<string>;
  /** Whether all of its domains hang together by their calls: what ends it is one of them. */
  readonly isSole: boolean;
}

/** Which domains are kept apart from the threads of the host, until each is let back. */
export class Cells {
  readonly #cells = new Map<string, Cell>();

  /** Takes the place of what was set before. */
  set(cells: readonly Cell[]): void {
    this.#cells.clear();
    for (const cell of cells) this.#cells.set(cell.group, cell);
  }

  get groups(): readonly string[] {
    return [...this.#cells.keys()];
  }

  get(group: string): Cell | undefined {
    return this.#cells.get(group);
  }

  /** The group that has the domain; undefined: it is with the others. */
  groupOf(domain: string): string | undefined {
    for (const { group, domains } of this.#cells.values()) if (domains.has(domain)) return group;
    return undefined;
  }

  /** Whether members of the group serve the domain. */
  serves(group: string, domain: string): boolean {
    const cell = this.groupOf(domain);
    return cell === undefined ? !this.#cells.has(group) : cell === group;
  }

  /** Whether members of the group run its code: they serve it, or their domains call it. */
  loads(group: string, domain: string): boolean {
    return this.serves(group, domain) || this.#cells.get(group)?.needs.has(domain) === true;
  }

  /** The domain is with the others from now on. Returns its group where that has no other. */
  delete(domain: string): string | undefined {
    const group = this.groupOf(domain);
    const cell = group === undefined ? undefined : this.#cells.get(group);
    if (cell === undefined) return undefined;
    const domains = new Set([...cell.domains].filter((other) => other !== domain));
    this.#cells.set(cell.group, { ...cell, domains });
    if (domains.size > 0) return undefined;
    this.#cells.delete(cell.group);
    return cell.group;
  }
}
