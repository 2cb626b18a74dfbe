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
