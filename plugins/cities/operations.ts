import type { Json, TypedScope } from '@beds/sdk';
import { invalid } from '@beds/sdk';
import type { objects } from './definition.js';

type Database = TypedScope<typeof objects>;

const MAX_CITIES = 2_000;
const country = { type: 'string', maxLength: 2, optional: true } as const;

/** Adds or replaces cities, all of a request or none. */
const importCities = {
  mode: 'write',
  idempotent: true,
  args: { cities: 'json' },
  run: async ({ cities }: { readonly cities: Json }, ctx: Database) => {
    if (!Array.isArray(cities) || cities.length === 0 || cities.length > MAX_CITIES) {
      throw invalid('payload.cities', `must be a list of 1 to ${MAX_CITIES} cities`);
    }
    const { rows } = await ctx.call('import', { cities: JSON.stringify(cities) });
    return rows[0] ?? { imported: 0 };
  },
} as const;

/** Cities and inhabitants by country, the most populous country first. */
const totals = {
  mode: 'read',
  args: { country },
  run: async (input: { readonly country?: string | null }, ctx: Database) => (await ctx.call('totals', input)).rows,
} as const;

/** How many cities there are. */
const count = {
  mode: 'read',
  args: { country },
  run: async (input: { readonly country?: string | null }, ctx: Database) => {
    const { rows } = await ctx.call('count', input);
    return { count: rows[0]?.['value'] ?? 0 };
  },
} as const;

/** The seats of a country's government; most countries have one. */
const capitals = {
  mode: 'read',
  args: { country: { type: 'string', maxLength: 2 } },
  run: async (input: { readonly country: string }, ctx: Database) => {
    const { rows } = await ctx.view('capitals', {
      where: { country: input.country },
      order: [{ column: 'population', direction: 'desc' }],
      limit: 5,
    });
    return [...rows];
  },
} as const;

/** The operations that every version has beyond the four. */
export const operations = { import: importCities, totals, count, capitals } as const;
