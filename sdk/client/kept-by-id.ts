/**
 * What waits for an answer, by its id. A `Map` that is filled and emptied all the time is made anew again and again. Each old one
 * holds the next, and what was in it then: once V8 takes one for long-lived, all that followed stays until the next full
 * collection. With 500 calls in flight that was a third of a caller's processor time. So the map holds numbers, and a list the rest.
 */
export class KeptById<T> {
  readonly #places = new Map<string, number>();
  readonly #values: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  has(id: string): boolean {
    return this.#places.has(id);
  }

  get(id: string): T | undefined {
    const place = this.#places.get(id);
    return place === undefined ? undefined : this.#values[place];
  }

  /** `id` is new. */
  add(id: string, value: T): void {
    const place = this.#free.pop() ?? this.#values.length;
    this.#values[place] = value;
    this.#places.set(id, place);
  }

  clear(): void {
    this.#places.clear();
    this.#values.length = 0;
    this.#free.length = 0;
  }

  delete(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#places.delete(id);
    this.#values[place] = undefined;
    this.#free.push(place);
  }

  /** A list of its own: what is added or deleted meanwhile changes nothing in it. */
  values(): readonly T[] {
    return this.#values.filter((value) => value !== undefined);
  }
}
