import type { Draft } from './changing-domain.js';
import { fieldsOf } from './changing-domain.js';
import type { BriefChecks } from './brief-checks.js';

/** What the `change` of a brief makes of its document, and what its calls are bound to then. */
export interface BriefChange {
  readonly change: (next: Draft) => void;
  readonly calls: BriefChecks['binding']['calls'];
}

function action(next: Draft, name: string): Draft {
  return (next.actions ?? []).find((each) => each['name'] === name) as unknown as Draft;
}

function stepsOf(next: Draft, name: string): Record<string, unknown>[] {
  return (action(next, name) as unknown as { readonly steps: Record<string, unknown>[] }).steps;
}

export const BRIEF_CHANGES: Readonly<Record<string, BriefChange>> = {
  '03-club-kasse': {
    // Honorary members pay nothing, and are members all the same.
    change: (next) => {
      const kind = fieldsOf(next, 'member').find(({ name }) => name === 'kind');
      Object.assign(kind ?? {}, { values: ['active', 'passive', 'honorary'] });
      const loop = stepsOf(next, 'run_fees').find(({ op }) => op === 'for_each_row');
      Object.assign(loop ?? {}, { where: `${String(loop?.['where'])} and kind != 'honorary'` });
    },
    // Fees of a year are set before they are run.
    calls: {
      'run fees': {
        calls: [
          { operation: 'fee_rate_create', fixed: { active: '50.00', passive: '30.00' } },
          { operation: 'run_fees' },
        ],
        answer: {},
      },
    },
  },
  '04-parking': {
    // Four electric places, and 0.50 for each kWh on top.
    change: (next) => {
      fieldsOf(next, 'capacity').push({
        ...{ name: 'electric', description: 'Places where cars are charged', type: 'integer', min: '0', default: '0' },
      });
      fieldsOf(next, 'stay').push({
        ...{
          name: 'place',
          description: 'Kind of place',
          type: 'enum',
          values: ['plain', 'electric'],
          default: "'plain'",
        },
      });
      const place = {
        name: 'place',
        description: 'Kind of place',
        type: 'enum',
        values: ['plain', 'electric'],
        default: "'plain'",
      };
      const enter = action(next, 'enter') as unknown as { readonly args: unknown[]; steps: Record<string, unknown>[] };
      enter.args.push(place);
      const [first = {}, ...others] = enter.steps;
      enter.steps = [
        first,
        {
          op: 'if',
          condition: ":place = 'electric'",
          then: [
            {
              op: 'check',
              rule: "count(stay where capacity = c.name and out_at is null and place = 'electric') < c.electric",
              message: 'The electric places are taken.',
              error: 'conflict',
            },
            {
              op: 'insert',
              record: 'stay',
              set: ['plate = :plate', 'capacity = c.name', 'in_at = @now', "place = 'electric'"],
              as: 'e',
            },
          ],
          else: JSON.parse(
            JSON.stringify(others).replace(
              'season_ticket is null) < c.public',
              "season_ticket is null and place = 'plain') < c.public",
            ),
          ) as unknown,
        },
      ];
      const pay = action(next, 'pay') as unknown as {
        readonly args: unknown[];
        readonly steps: Record<string, unknown>[];
      };
      pay.args.push({
        name: 'kwh',
        description: 'Charged',
        type: 'decimal',
        precision: 8,
        scale: 2,
        default: '0.00',
        min: '0',
      });
      const fee = pay.steps.find(({ values }) => JSON.stringify(values ?? '').includes('fee = if'));
      Object.assign(fee ?? {}, {
        values: ['fee = if(:lost, 40.00, whole_days * 20.00 + least(20.00, rest)) + round(:kwh * 0.50, 2)'],
      });
    },
    calls: {},
  },
  '05-blood-bank': {
    // A flag of units, which patients may require.
    change: (next) => {
      fieldsOf(next, 'unit').push({
        ...{ name: 'cmv_negative', description: 'Whether it is free of CMV', type: 'boolean', default: 'false' },
      });
      fieldsOf(next, 'patient').push({
        ...{
          name: 'needs_cmv_negative',
          description: 'Whether only such units fit',
          type: 'boolean',
          default: 'false',
        },
      });
      stepsOf(next, 'reserve').splice(2, 0, {
        ...{ op: 'check', rule: 'not p.needs_cmv_negative or u.cmv_negative' },
        ...{ message: 'The patient needs a CMV-negative unit.', error: 'conflict' },
      });
    },
    calls: {},
  },
};
