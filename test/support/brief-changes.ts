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

function argsOf(next: Draft, name: string): Record<string, unknown>[] {
  return (action(next, name) as unknown as { readonly args: Record<string, unknown>[] }).args;
}

function query(next: Draft, name: string): Record<string, unknown> {
  return (next.queries ?? []).find((each) => each['name'] === name) ?? {};
}

function money(name: string, description: string, more: object = {}): Record<string, unknown> {
  return { name, description, type: 'decimal', precision: 12, scale: 2, min: '0', ...more };
}

/** The same with another text wherever it stands. */
function replaced<Part>(part: Part, from: string, to: string): Part {
  return JSON.parse(JSON.stringify(part).replaceAll(from, to)) as Part;
}

export const BRIEF_CHANGES: Readonly<Record<string, BriefChange>> = {
  '01-bike-rental': {
    // A price of each model; who has none costs what all did.
    change: (next) => {
      next.records.push({
        ...{ name: 'price', description: 'The price of a model', key: ['model'], operations: ['create', 'update'] },
        fields: [
          { name: 'model', description: 'Model', type: 'text', max_length: 40 },
          money('hour', 'For a started hour', { unit: 'CHF' }),
          money('day', 'For a day at most', { unit: 'CHF' }),
        ],
      });
      const steps = stepsOf(next, 'return_bike');
      steps.splice(
        3,
        1,
        { op: 'read', record: 'price', as: 'r', where: 'model = b.model' },
        {
          op: 'let',
          values: [
            'began = ceil(minutes(n.out_at, @now) / 60)',
            'whole_days = floor(began / 24)',
            'hour = coalesce(r.hour, 5.00)',
            'most = coalesce(r.day, 25.00)',
            'cost = whole_days * most + least(most, (began - whole_days * 24) * hour)',
          ],
        },
      );
    },
    calls: { 'set price': { operation: 'price_create' } },
  },
  '02-mesas-restaurante': {
    // Each further table has a booking of its own, which goes where the first one goes.
    change: (next) => {
      fieldsOf(next, 'booking').push({
        ...{ name: 'joined', description: 'The booking that this table is joined to', optional: true },
        ...{ type: 'reference', references: 'booking' },
      });
      const book = action(next, 'book') as unknown as {
        args: Record<string, unknown>[];
        steps: Record<string, unknown>[];
      };
      Object.assign(book.args[0] ?? {}, { optional: true });
      book.args.push({
        ...{ name: 'tables', description: 'Tables to be joined', optional: true },
        ...{ type: 'reference', references: 'restaurant_table', max_items: 5 },
      });
      const [one, seats, late, lock, absent, insert] = book.steps;
      book.steps = [
        {
          op: 'check',
          rule: 'given(:restaurant_table) and not given(:tables) or given(:tables) and not given(:restaurant_table)',
          message: 'Either a table or several.',
        },
        {
          op: 'if',
          condition: 'given(:restaurant_table)',
          then: [one, seats, late, lock, absent, insert],
          else: [
            { op: 'let', values: ['places = 0'] },
            {
              ...{ op: 'for_each_item', list: ':tables', as: 'n', max: 5 },
              steps: [
                {
                  ...{ op: 'read_for_update', record: 'restaurant_table', as: 'x', where: 'number = n' },
                  message: 'No such table.',
                },
                { op: 'let', values: ['places = places + x.seats'] },
              ],
            },
            { op: 'check', rule: 'places >= :people', message: 'The tables have {places} seats.' },
            late,
            lock,
            absent,
            replaced(insert, 't.number', 'min(:tables)'),
            {
              ...{ op: 'for_each_item', list: ':tables', as: 'n', max: 5 },
              steps: [
                {
                  op: 'if',
                  condition: 'n != b.restaurant_table',
                  then: [
                    {
                      op: 'insert',
                      record: 'booking',
                      set: [
                        'restaurant_table = n',
                        'name = :name',
                        'phone = :phone',
                        'people = :people',
                        'starts_at = b.starts_at',
                        'ends_at = b.ends_at',
                        'joined = b.id',
                      ],
                    },
                  ],
                },
              ],
            },
          ],
        },
      ] as Record<string, unknown>[];
      for (const [name, from, to] of [
        ['seat', 'reserved', 'seated'],
        ['finish', 'seated', 'finished'],
        ['cancel', 'reserved', 'cancelled'],
      ])
        stepsOf(next, name ?? '').push({
          ...{ op: 'update_where', record: 'booking' },
          ...{ where: `joined = b.id and state = '${from ?? ''}'`, set: [`state = '${to ?? ''}'`] },
        });
      for (const step of [absent])
        Object.assign(step ?? {}, {
          rule: "count(booking where phone = :phone and state = 'no_show' and joined is null and starts_at > @now - 6 months) < 3",
        });
      (query(next, 'no_shows')['where'] as string[]).push('joined is null');
    },
    calls: {},
  },
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
  '06-recruiting': {
    // Who recommends somebody gets a bonus six months after the hire.
    change: (next) => {
      const employee = {
        name: 'employee',
        description: 'Who recommended',
        type: 'text',
        max_length: 60,
        optional: true,
      };
      fieldsOf(next, 'application').push(employee);
      const application = next.records.find(({ name }) => name === 'application');
      (application?.['rules'] as object[]).push({
        ...{
          rule: "employee is null or source = 'employee'",
          message: 'An employee is named where one is the source.',
        },
      });
      argsOf(next, 'apply').push(employee);
      const insert = stepsOf(next, 'apply').find(({ record }) => record === 'application');
      (insert?.['set'] as string[]).push('employee = :employee');
      next.records.push({
        ...{ name: 'bonus', description: 'A bonus that was paid', key: 'auto', operations: [] },
        fields: [
          { name: 'application', description: 'For whom', type: 'reference', references: 'application' },
          { name: 'employee', description: 'Who got it', type: 'text', max_length: 60 },
          money('amount', 'Amount', { default: '500.00', unit: 'CHF' }),
          { name: 'paid_at', description: 'When', type: 'timestamp', default: '@now' },
        ],
        unique: [{ fields: ['application'], message: 'The bonus is paid.' }],
      });
      next.queries?.push({
        ...{ name: 'bonuses_due', description: 'Bonuses that can be paid', from: 'application', as: 'a' },
        where: [
          "stage = 'hired'",
          'employee is not null',
          'decided_at + 6 months <= @now',
          'not exists(bonus where application = a.id)',
        ],
        ...{ columns: ['id', 'employee', 'decided_at'], order_by: ['decided_at'] },
      });
      next.actions?.push({
        ...{ name: 'pay_bonus', description: 'Pays the bonus of a hire' },
        args: [{ name: 'application', description: 'Application', type: 'reference', references: 'application' }],
        steps: [
          {
            ...{ op: 'read_for_update', record: 'application', as: 'a', where: 'id = :application' },
            message: 'No such application.',
          },
          {
            ...{
              op: 'check',
              rule: "a.stage = 'hired' and a.employee is not null and a.decided_at + 6 months <= @now",
            },
            ...{ message: 'There is no bonus to be paid.', error: 'conflict' },
          },
          { op: 'insert', record: 'bonus', set: ['application = a.id', 'employee = a.employee'], as: 'x' },
        ],
      });
    },
    calls: {
      'apply application': {
        calls: [
          {
            ...{ operation: 'create', without: ['job', 'candidate', 'source', 'employee'], as: 'new job' },
            fixed: { title: 'Ops', department: 'IT', openings: 1 },
          },
          { operation: 'open_job', without: ['job', 'candidate', 'source', 'employee'], fixed: { job: '@last' } },
          {
            ...{ operation: 'candidate_create', without: ['job', 'candidate', 'source', 'employee'] },
            fixed: { name: 'N', email: 'n@x.ch' },
          },
          { operation: 'apply', without: ['job', 'candidate'], fixed: { job: '@new job', candidate: '@last' } },
        ],
      },
    },
  },
  '07-meter-readings': {
    // What a meter sends each day is kept for two years, what it used in a month for ever.
    change: (next) => {
      next.records.push(
        {
          ...{ name: 'daily_value', description: 'What a smart meter shows on a day', part_of: 'meter', key: ['day'] },
          fields: [
            { name: 'day', description: 'Day', type: 'date' },
            { name: 'value', description: 'What it shows', type: 'integer', min: '0', unit: 'm3' },
          ],
          ...{ expires: { when: 'true', at: 'day + 2 years', delete: true }, operations: [] },
        },
        {
          ...{ name: 'month_value', description: 'What was used in a month', key: 'auto', operations: [] },
          fields: [
            { name: 'meter', description: 'Meter', type: 'reference', references: 'meter' },
            { name: 'month', description: 'Month', type: 'text', mask: 'dddd-dd' },
            { name: 'consumption', description: 'Used', type: 'integer', unit: 'm3' },
          ],
          unique: [{ fields: ['meter', 'month'] }],
        },
      );
      const month = (consumption: string): Record<string, unknown> => ({
        ...{ op: 'insert', record: 'month_value', on_duplicate: 'update' },
        set: ['meter = m.number', 'month = month_of(:day)', `consumption = ${consumption}`],
        update: [`consumption = consumption + ${consumption}`],
      });
      stepsOf(next, 'read').push(month('used'));
      const correct = stepsOf(next, 'correct');
      const before = correct.findIndex(({ op }) => op === 'update');
      correct.splice(before, 0, { op: 'let', values: ['counted = r.consumption'] });
      correct.push(month('r.consumption - counted'));
      next.actions?.push({
        ...{ name: 'send', description: 'A smart meter sends what it shows' },
        args: [
          { name: 'meter', description: 'Meter', type: 'reference', references: 'meter' },
          { name: 'day', description: 'Day', type: 'date', default: '@today' },
          { name: 'value', description: 'What it shows', type: 'integer', min: '0', unit: 'm3' },
        ],
        steps: [
          {
            ...{ op: 'read_for_update', record: 'meter', as: 'm', where: 'number = :meter' },
            message: 'No such meter.',
          },
          {
            ...{ op: 'check', rule: ':value < pow(10, m.digits)' },
            message: 'The value has more digits than the meter.',
          },
          { op: 'insert', record: 'daily_value', set: ['meter = m.number', 'day = :day', 'value = :value'], as: 'v' },
        ],
      });
      next.queries?.push({
        ...{ name: 'months', description: 'What a connection used by month', from: 'month_value' },
        args: [{ name: 'connection', description: 'Connection', type: 'reference', references: 'connection' }],
        ...{ where: ['meter.connection = :connection'], group_by: ['month'] },
        ...{ columns: ['month', 'consumption = sum(consumption)'], order_by: ['month'] },
      });
    },
    calls: { 'months connection': { operation: 'months' } },
  },
  '08-gym-classes': {
    // A guest takes a place as well.
    change: (next) => {
      const guest = { name: 'guest', description: 'Who comes along', type: 'text', max_length: 60, optional: true };
      fieldsOf(next, 'booking').push(guest);
      fieldsOf(next, 'session').push({
        ...{ name: 'guests', description: 'Places of guests', type: 'integer' },
        rollup: { function: 'count', child: 'booking', via: 'session', when: "state = 'in' and guest is not null" },
      });
      const session = next.records.find(({ name }) => name === 'session');
      Object.assign(session ?? {}, { rules: [{ rule: 'taken + guests <= places', message: 'The session is full.' }] });
      argsOf(next, 'book').push(guest);
      const steps = stepsOf(next, 'book');
      const insert = steps.findIndex(({ op }) => op === 'insert');
      (steps[insert]?.['set'] as string[]).push('guest = :guest');
      Object.assign(steps.find(({ op }) => op === 'if') ?? {}, {
        condition: 's.taken + s.guests + if(given(:guest), 1, 0) < s.places',
      });
      steps.splice(insert, 0, {
        op: 'if',
        condition: 'given(:guest)',
        then: [
          {
            ...{ op: 'check', rule: "m.abo = 'flat'", message: 'Guests come with a flat abo only.', error: 'conflict' },
          },
          {
            op: 'check',
            rule: "count(booking where member = m.id and guest is not null and (state = 'in' or state = 'waiting') and month_of(starts_at) = month_of(s.starts_at)) < 2",
            ...{ message: 'Two guests a month at most.', error: 'conflict' },
          },
        ],
      });
      const cancel = action(next, 'cancel') as unknown as { steps: unknown };
      cancel.steps = replaced(
        cancel.steps,
        "state = 'waiting' and (",
        "state = 'waiting' and (guest is null or b.guest is not null) and (",
      );
    },
    calls: {},
  },
  '09-price-lists': {
    // What is paid in another currency has prices of its own.
    change: (next) => {
      const currency = {
        ...{ name: 'currency', description: 'Currency', type: 'enum', values: ['CHF', 'EUR'], default: "'CHF'" },
      };
      fieldsOf(next, 'price').push(currency);
      fieldsOf(next, 'customer').push(currency);
      const args = (next.actions ?? []).flatMap((each) => each['args'] as Record<string, unknown>[]);
      const columns = args.flatMap((each) => (each['columns'] ?? []) as Record<string, unknown>[]);
      for (const each of [...next.records.flatMap(({ fields }) => fields), ...args, ...columns])
        if (each['unit'] === 'CHF') delete each['unit'];
      const price = next.records.find(({ name }) => name === 'price');
      Object.assign(price ?? {}, {
        no_overlap: replaced(price?.['no_overlap'], '"from_qty"', '"from_qty","currency"'),
      });
      fieldsOf(next, 'product').push(
        money('list_price_eur', 'List price in EUR', { optional: true }),
        money('cost_eur', 'Cost in EUR', { optional: true }),
      );
      argsOf(next, 'set_price').push(currency);
      const set = action(next, 'set_price') as unknown as { steps: unknown };
      const priced = replaced(set.steps, 'p.list_price', "if(:currency = 'CHF', p.list_price, p.list_price_eur)");
      set.steps = replaced(
        replaced(
          priced,
          'amount >= p.cost * 1.05',
          "amount >= coalesce(if(:currency = 'CHF', p.cost, p.cost_eur), 0) * 1.05",
        ),
        '"margin_price = amount"',
        '"margin_price = amount","currency = :currency"',
      );
      argsOf(next, 'import_prices').push(currency);
      const all = action(next, 'import_prices') as unknown as { steps: unknown };
      all.steps = replaced(
        replaced(
          replaced(all.steps, 'customer_group = g.code and', 'customer_group = g.code and currency = :currency and'),
          'r.price >= p.cost * 1.05',
          "r.price >= coalesce(if(:currency = 'CHF', p.cost, p.cost_eur), 0) * 1.05",
        ),
        '"margin_price = r.price"',
        '"margin_price = r.price","currency = :currency"',
      );
      for (const name of ['find_price', 'find_prices', 'prices_of_customer']) {
        const found = query(next, name);
        (found['where'] as string[]).push('p.currency = c.currency');
        Object.assign(found, {
          columns: replaced(
            found['columns'],
            'product.list_price',
            "if(p.currency = 'CHF', product.list_price, product.list_price_eur)",
          ),
        });
      }
      const margins = query(next, 'margins');
      (margins['where'] as string[]).push("currency = 'CHF'");
    },
    calls: {},
  },
  '10-articles': {
    // Who has not paid reads the teaser only.
    change: (next) => {
      const paywall = {
        ...{ name: 'paywall', description: 'Who reads all of it', type: 'enum', values: ['free', 'plus'] },
        default: "'free'",
      };
      fieldsOf(next, 'article').push(paywall);
      argsOf(next, 'write').push(paywall);
      const insert = stepsOf(next, 'write').find(({ record }) => record === 'article');
      (insert?.['set'] as string[]).push('paywall = :paywall');
      const read = query(next, 'read');
      Object.assign(read, {
        columns: (read['columns'] as string[]).flatMap((each) =>
          each === 'body' ? ["body = if(paywall = 'free' or has_role('plus'), body, null)", 'paywall'] : [each],
        ),
      });
      next.actions?.push({
        ...{ name: 'set_paywall', description: 'Says who reads all of an article' },
        args: [
          { name: 'article', description: 'Article', type: 'reference', references: 'article' },
          { name: 'level', description: 'Level', type: 'enum', values: ['free', 'plus'] },
        ],
        steps: [
          {
            ...{ op: 'read_for_update', record: 'article', as: 'a', where: 'id = :article' },
            message: 'No such article.',
          },
          { op: 'update', row: 'a', set: ['paywall = :level'] },
        ],
      });
    },
    calls: {},
  },
  '11-photo-contest': {
    // Three pictures of each category.
    change: (next) => {
      next.records.push({
        ...{ name: 'category', description: 'A category of a contest', key: 'auto', operations: ['create'] },
        fields: [
          { name: 'contest', description: 'Contest', type: 'reference', references: 'contest' },
          { name: 'name', description: 'Name', type: 'text', max_length: 60 },
        ],
        unique: [{ fields: ['contest', 'name'] }],
      });
      const category = {
        ...{ name: 'category', description: 'Category', type: 'reference', references: 'category', optional: true },
      };
      fieldsOf(next, 'picture').push(category);
      argsOf(next, 'upload').push(category);
      const steps = stepsOf(next, 'upload');
      const most = steps.find(({ rule }) => String(rule).startsWith('count(picture'));
      Object.assign(most ?? {}, {
        rule: 'count(picture where contest = c.id and user = @user and (category = :category or category is null and not given(:category))) < 3',
      });
      steps.splice(1, 0, {
        op: 'if',
        condition: 'given(:category)',
        then: [
          { op: 'read', record: 'category', as: 'k', where: 'id = :category', message: 'No such category.' },
          { op: 'check', rule: 'k.contest = c.id', message: 'The category is of another contest.' },
        ],
      });
      (steps.at(-1)?.['set'] as string[]).push('category = :category');
      const ranking = query(next, 'ranking');
      Object.assign(ranking, {
        args: [...(ranking['args'] as object[]), category],
        where: [...(ranking['where'] as string[]), 'not given(:category) or category = :category'],
      });
    },
    calls: { 'create category': { operation: 'category_create' } },
  },
  '12-calibration': {
    // What a kind asks for is measured, and the result follows from it.
    change: (next) => {
      next.records.push(
        {
          ...{ name: 'kind', description: 'A kind of equipment', key: ['name'], operations: [] },
          fields: [{ name: 'name', description: 'Name', type: 'text', max_length: 40 }],
        },
        {
          ...{ name: 'kind_value', description: 'A value that must be measured', part_of: 'kind', key: ['name'] },
          fields: [
            { name: 'name', description: 'Name', type: 'text', max_length: 40 },
            { name: 'tolerance', description: 'Deviation at most', type: 'decimal', precision: 12, scale: 4, min: '0' },
          ],
          operations: [],
        },
        {
          ...{ name: 'deviation', description: 'A value that was measured', part_of: 'calibration', key: ['name'] },
          fields: [
            { name: 'name', description: 'Name', type: 'text', max_length: 40 },
            { name: 'value', description: 'Deviation', type: 'decimal', precision: 12, scale: 4 },
          ],
          operations: [],
        },
      );
      next.actions?.push({
        ...{ name: 'define_kind', description: 'Says what is measured', allowed: "has_role('quality')" },
        args: [
          { name: 'name', description: 'Name', type: 'text', max_length: 40 },
          {
            ...{ name: 'values', description: 'What is measured', type: 'list', max_items: 50 },
            columns: [
              { name: 'name', description: 'Name', type: 'text', max_length: 40 },
              {
                name: 'tolerance',
                description: 'Deviation at most',
                type: 'decimal',
                precision: 12,
                scale: 4,
                min: '0',
              },
            ],
          },
        ],
        steps: [
          { op: 'insert', record: 'kind', set: ['name = :name'], as: 'k' },
          {
            ...{ op: 'for_each_item', list: ':values', as: 'v', max: 50 },
            steps: [
              {
                op: 'insert',
                record: 'kind_value',
                set: ['kind = k.name', 'name = v.name', 'tolerance = v.tolerance'],
              },
            ],
          },
        ],
      });
      const args = argsOf(next, 'calibrate');
      Object.assign(args.find(({ name }) => name === 'result') ?? {}, { optional: true });
      args.push({
        ...{ name: 'values', description: 'What was measured', type: 'list', max_items: 50, optional: true },
        columns: [
          { name: 'name', description: 'Name', type: 'text', max_length: 40 },
          { name: 'value', description: 'Deviation', type: 'decimal', precision: 12, scale: 4 },
        ],
      });
      const calibrate = action(next, 'calibrate') as unknown as { steps: Record<string, unknown>[] };
      const [equipment, scrapped, insert, rest] = calibrate.steps;
      calibrate.steps = [
        equipment,
        scrapped,
        { op: 'let', values: ["outcome = coalesce(:result, 'passed')"] },
        {
          ...{ op: 'for_each_row', record: 'kind_value', where: 'kind = e.kind', as: 'w', max: 50 },
          steps: [
            { op: 'let', values: ['is_there = false'] },
            {
              ...{ op: 'for_each_item', list: ':values', as: 'v', max: 50 },
              steps: [
                {
                  ...{ op: 'if', condition: 'v.name = w.name' },
                  then: [
                    {
                      op: 'let',
                      values: ['is_there = true', "outcome = if(abs(v.value) > w.tolerance, 'failed', outcome)"],
                    },
                  ],
                },
              ],
            },
            { op: 'check', rule: 'is_there', message: '{w.name} must be measured.' },
          ],
        },
        replaced(insert, ':result', 'outcome'),
        {
          ...{ op: 'for_each_item', list: ':values', as: 'v', max: 50 },
          steps: [
            { op: 'insert', record: 'deviation', set: ['calibration = k.id', 'name = v.name', 'value = v.value'] },
          ],
        },
        replaced(rest, ':result', 'outcome'),
      ] as Record<string, unknown>[];
    },
    calls: { 'create kind': { operation: 'define_kind' } },
  },
};
