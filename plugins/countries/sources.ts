import type { Json, JsonObject, RowOf, TypedContext, Where } from '@beds/sdk';
import type { columns, objects } from './definition.js';

export type Country = RowOf<typeof columns>;

/** Cities and inhabitants of one country. */
export interface Totals {
  readonly cities: number;
  readonly population: number;
}

export interface City {
  readonly name: string;
  readonly country: string;
  readonly population: number;
}

/** The most that one page of countries can hold; no region has as many. */
const MAX_COUNTRIES = 250;

/** What a profile asks of the two databases, and how often it did. */
export class Sources {
  readonly #ctx: TypedContext<typeof objects, 'cities'>;
  #calls = 0;

  constructor(ctx: TypedContext<typeof objects, 'cities'>) {
    this.#ctx = ctx;
  }

  get calls(): number {
    return this.#calls;
  }

  async countries(where: Where<Country>): Promise<readonly Country[]> {
    this.#calls += 1;
    return (await this.#ctx.view('fetch', { where, limit: MAX_COUNTRIES })).rows;
  }

  /** The land of each subregion. */
  async areas(region: string): Promise<readonly JsonObject[]> {
    this.#calls += 1;
    return (await this.#ctx.call('areas', { region })).rows;
  }

  /** The seat of government, the most populous one where there are several. */
  async capital(country: string): Promise<Json> {
    const [capital] = await this.#cities('capitals', { country });
    return capital ?? null;
  }

  async totals(country: string): Promise<Totals> {
    const [totals] = await this.#cities('totals', { country });
    return { cities: Number(totals?.['cities'] ?? 0), population: Number(totals?.['population'] ?? 0) };
  }

  async largest(country: string, limit: number): Promise<readonly City[]> {
    this.#calls += 1;
    const order = [
      { column: 'population', direction: 'desc' },
      { column: 'id', direction: 'desc' },
    ] as const;
    const { rows } = await this.#ctx.domain('cities').fetch({ where: { country }, order, limit });
    return rows.map(({ name, population }) => ({
      name: typeof name === 'string' ? name : '',
      country,
      population: Number(population),
    }));
  }

  async #cities(operation: 'capitals' | 'totals', input: JsonObject): Promise<readonly JsonObject[]> {
    this.#calls += 1;
    return (await this.#ctx.domain('cities').call(operation, input)) as readonly JsonObject[];
  }
}
