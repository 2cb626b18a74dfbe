import { invalid, t } from '@beds/sdk';
import { definition, mutation, query, totals } from './definition.js';

const country = t.string({ max: 2 });

/** The operations that every version has beyond the four. */
export const operations = {
  /** Adds or replaces cities, all of a request or none. */
  import: mutation({ input: definition.objects.import.args, output: { imported: t.int() } }, async ({ input, db }) => {
    if (input.cities.length === 0) throw invalid('payload.cities', 'must hold at least one city');
    return (await db.import(input)) ?? { imported: 0 };
  }).idempotent(),

  /** Cities and inhabitants by country, the most populous country first. */
  totals: query({ input: { country: country.optional() }, output: t.list(totals) }, ({ input, db }) =>
    db.totals(input),
  ),

  /** How many cities there are. */
  count: query({ input: { country: country.optional() }, output: { count: t.int() } }, async ({ input, db }) => ({
    count: await db.count(input),
  })),

  /** The seats of a country's government; most countries have one. */
  capitals: query({ input: { country }, output: t.list(definition.views.capitals.row) }, async ({ input, db }) => {
    const order = [{ column: 'population', direction: 'desc' }] as const;
    return (await db.capitals({ where: { country: input.country }, order, limit: 5 })).rows;
  }),
};
