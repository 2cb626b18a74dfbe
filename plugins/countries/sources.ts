import type { Call, RowOf } from '@beds/sdk';
import type { area, country, definition } from './definition.js';

export type Country = RowOf<typeof country.fields>;

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
  readonly #db: Call<unknown, typeof definition>['db'];
  readonly #cities: Call<unknown, typeof definition>['peers']['cities'];
  #calls = 0;

  constructor({ db, peers }: Call<unknown, typeof definition>) {
    this.#db = db;
    this.#cities = peers.cities;
  }

  get calls(): number {
    return this.#calls;
  }

  async countries(where: { readonly code?: string; readonly region?: string }): Promise<readonly Country[]> {
    this.#calls += 1;
    return (await this.#db.fetch({ where, limit: MAX_COUNTRIES })).rows;
  }

  /** The land of each subregion. */
  async areas(region: string): Promise<readonly RowOf<typeof area.fields>[]> {
    this.#calls += 1;
    return this.#db.areas({ region });
  }

  /** The seat of government, the most populous one where there are several. */
  async capital(country: string): Promise<City | undefined> {
    this.#calls += 1;
    const [capital] = await this.#cities.capitals({ country });
    return capital;
  }

  async totals(country: string): Promise<Totals> {
    this.#calls += 1;
    const [totals] = await this.#cities.totals({ country });
    return { cities: totals?.cities ?? 0, population: totals?.population ?? 0 };
  }

  async largest(country: string, limit: number): Promise<readonly City[]> {
    this.#calls += 1;
    const order = [
      { column: 'population', direction: 'desc' },
      { column: 'id', direction: 'desc' },
    ] as const;
    return (await this.#cities.fetch({ where: { country }, order, limit })).rows;
  }
}
