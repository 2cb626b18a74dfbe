import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkSpecification,
  compareVersions,
  formatSpecification,
  LEDGER,
  type Problem,
  readAnswer,
  SEATS,
  tryExamples,
} from '#sdk/spec';

/** Ways in which models get such documents wrong: each is caught, and told so that the next answer is right. */

/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-assignment -- documents are spoilt in here: what is in them has no type. */
type Loose = Record<string, any>;

/** The example of seats, spoilt. */
function seats(spoil: (document: Loose) => void): Loose {
  const document = JSON.parse(SEATS) as Loose;
  spoil(document);
  return document;
}

function ledger(spoil: (document: Loose) => void): Loose {
  const document = JSON.parse(LEDGER) as Loose;
  spoil(document);
  return document;
}

const named = (list: Loose[], name: string): Loose => list.find((one) => one['name'] === name) ?? assert.fail(name);
const place = (document: Loose): Loose => named(document['records'] as Loose[], 'place');
const field = (record: Loose, name: string): Loose => named(record['fields'] as Loose[], name);
const action = (document: Loose, name: string): Loose => named(document['actions'] as Loose[], name);

function found(document: unknown, path: string, expected: RegExp): Problem {
  return foundIn(checkSpecification(document, {}).problems, path, expected);
}

function foundIn(problems: readonly Problem[], path: string, expected: RegExp): Problem {
  const text = (problem: Problem): string => `${problem.message} ${problem.example ?? ''}`;
  const match = problems.find((problem) => problem.path.startsWith(path) && expected.test(text(problem)));
  return (
    match ??
    assert.fail(
      `no problem at ${path} like ${String(expected)}:\n${problems.map((problem) => `${problem.path}: ${text(problem)}`).join('\n')}`,
    )
  );
}

describe('what models get wrong', () => {
  it('1: the schema instead of a document', () => {
    found({ $defs: {}, properties: { beds: {} } }, '', /This is the JSON Schema.*"beds": 1/i);
  });

  it('2, 8: records of the example, or invented ones, that no sentence asks for', () => {
    const document = seats((all) => {
      (all['records'] as Loose[]).push({
        name: 'audit_log',
        description: 'Log',
        key: 'auto',
        fields: [{ name: 'entry', description: 'Entry', type: 'text' }],
        operations: ['create'],
      });
    });
    const { problems } = checkSpecification(document, { brief: 'Seats of events.' });
    foundIn(problems, 'records.audit_log', /no sentence asks for audit_log/);
  });

  it('3: a document that is cut off is asked for again, and never repaired', () => {
    for (const answer of [readAnswer(SEATS.slice(0, 2000)), readAnswer(SEATS, { isCutOff: true })]) {
      assert.ok(!answer.ok);
      assert.equal(answer.problem.code, 'cut-off');
    }
  });

  it('4: prose and fences around it, and two documents', () => {
    const around = readAnswer(`Here's the "spec" {as asked}:\n\`\`\`json\n${SEATS}\n\`\`\`\nIt's done.`);
    assert.ok(around.ok);
    assert.deepEqual(around.document, JSON.parse(SEATS));
    assert.ok(!readAnswer(`${SEATS}\n${LEDGER}`).ok);
    assert.ok(readAnswer(`${SEATS}\n${SEATS}`).ok);
    const none = readAnswer('I cannot help with that.');
    assert.ok(!none.ok);
    assert.match(none.problem.message, /no JSON object/);
  });

  it('5: types, properties and values of other languages', () => {
    found(
      seats((all) => (field(place(all), 'price')['type'] = 'varchar')),
      'records.place.fields.price',
      /'varchar' is none of .* You mean text/,
    );
    found(
      seats((all) => (field(place(all), 'price')['type'] = 'decimal(10,2)')),
      'records.place.fields.price',
      /decimal with .*"precision": 10, "scale": 2/,
    );
    found(
      seats((all) => (field(place(all), 'no')['maxLength'] = 6)),
      'records.place.fields.no',
      /no property maxLength here. It is max_length/,
    );
    found(
      seats((all) => (action(all, 'hold')['steps'][0].op = 'get')),
      'actions.hold.steps',
      /'get' is none of .* You mean read_for_update/,
    );
    found(
      seats((all) => (action(all, 'hold')['steps'][1].error = 'error')),
      'actions.hold.steps',
      /"error" is none of invalid, conflict/,
    );
    found(
      seats((all) => (place(all)['states'].moves[0] = 'free>held')),
      'records.place.states.moves',
      /where an object is wanted.*"from"/,
    );
  });

  it('6: numbers as text and the reverse', () => {
    found(
      seats((all) => (field(place(all), 'price')['min'] = 0)),
      'records.place.fields.price.min',
      /0 where a text is wanted.*"0"/,
    );
    found(
      seats((all) => (all['examples'][0].given[0].arguments[0].value = 7)),
      'examples[0].given[0]',
      /7 where text is wanted/,
    );
    const member = ledger((all) => all['examples'][0].call.arguments.push({ name: 'entries', value: 1 }));
    found(member, 'examples[0].call', /post has no argument entries.*/);
  });

  it('7: a sentence that nothing keeps', () => {
    const brief = 'Seats of events. Never more than eight seats for a session.';
    const { problems } = checkSpecification(
      seats(() => undefined),
      { brief },
    );
    foundIn(problems, 'covers', /sentence 2, "Never more than eight.*kept by nothing/);
    const covers = [
      { sentence: 1, paths: ['records.event'] },
      { sentence: 2, paths: ['actions.hold'] },
    ];
    const kept = seats((all) => (all['covers'] = covers));
    assert.deepEqual(checkSpecification(kept, { brief }).problems, []);
    found(
      seats((all) => (all['covers'] = [{ sentence: 2, paths: ['actions.hald'] }])),
      'covers[0]',
      /leads to nothing. Did you mean hold/,
    );
  });

  it('7: a number of the brief that is nowhere, and one that is there in another unit', () => {
    const found = (brief: string): readonly string[] =>
      checkSpecification(
        seats(() => undefined),
        { brief },
      ).problems.flatMap(({ code, message }) => (code === 'number-missing' ? [message] : []));
    assert.match(found('Seats cost 17.50 for children.').join(), /sentence 1, "Seats cost 17\.50.*says 17\.5/);
    // Ten minutes are held, eight seats at most, 24 hours before: one day.
    assert.deepEqual(
      found(
        'At most 8 seats for 10 min (600 s). Up to 1 day before. From 1.1. on, ISO4217, 200days. Revisions 1, 2, 3... of it.',
      ),
      [],
    );
    // Days and names are no bounds.
    assert.deepEqual(
      found(
        'From 31 January to 30th of November, le 28 ou le 29 février, am 17. März. Invoices are 2026-0001, 2026-0002.',
      ),
      [],
    );
    assert.match(found('At most 31 may book.').join(), /says 31/);
  });

  it('reports that lose their past, unless what is deleted stays or ends by itself', () => {
    const cascade = (spoil: (account: Loose) => void): Loose =>
      ledger((all) => {
        field(named(all['records'], 'line'), 'account')['on_delete'] = 'cascade';
        spoil(named(all['records'], 'account'));
      });
    const path = 'records.line.fields.account.on_delete';
    found(
      cascade(() => undefined),
      path,
      /deleting an account would remove line/,
    );
    const kept = checkSpecification(cascade((account) => (account['soft_delete'] = true))).problems;
    assert.deepEqual(
      kept.filter((problem) => problem.path === path),
      [],
    );
  });

  it('a group by another name than its field has, which is the name of a field as well', () => {
    const document = ledger((all) => {
      (all['queries'] as Loose[]).push({
        ...{ name: 'turnover', description: 'Turnover by account', from: 'line', as: 'l', limit: '10' },
        ...{ group_by: ['no = l.account.number'], columns: ['no', 'total = sum(l.amount)'], order_by: ['no'] },
      });
    });
    assert.deepEqual(checkSpecification(document).problems, []);
  });

  it('26: an example that comes out otherwise, be it the example or the rule that is wrong', async () => {
    const document = ledger((all) => (named(all['records'], 'account')['rules'] = []));
    const { checked } = checkSpecification(document);
    assert.ok(checked);
    const problems = await tryExamples(checked);
    foundIn(
      problems,
      'examples[0]',
      /A guarded account does not fall below zero.*post succeeds, and invalid is expected/,
    );
    const right = checkSpecification(ledger(() => undefined)).checked;
    assert.ok(right);
    assert.deepEqual(await tryExamples(right), []);
  });

  it('26: an example that depends on the time of day at which it is played', async () => {
    const document = seats((all) => {
      named(all['records'], 'event')['rules'] = [{ rule: "time(starts_at) >= '12:00'", message: 'From noon on.' }];
      all['examples'][0].given[0].arguments[1].value = '~now+2h';
    });
    const { checked } = checkSpecification(document);
    assert.ok(checked);
    foundIn(await tryExamples(checked), 'examples[0]', /played at 03:30, comes out otherwise.*From noon on/);
  });

  it('29: names in the language of the brief', () => {
    const brief = 'Vereinskasse mit Mitgliedern und Beiträgen, die Zahlung ist mit der Kasse zu buchen.';
    const document = seats((all) => {
      (all['records'] as Loose[]).push({
        name: 'zahlung',
        description: 'A payment',
        key: 'auto',
        fields: [{ name: 'amount', description: 'Amount', type: 'integer' }],
        operations: ['create'],
      });
    });
    foundIn(
      checkSpecification(document, { brief }).problems,
      'records',
      /zahlung: words of the brief, which is in German/,
    );
    const english = checkSpecification(document, {
      brief: 'The zahlung is for the members and must be booked with care by the club.',
    });
    assert.ok(!english.problems.some(({ code }) => code === 'language'));
  });

  it('9: two units', () => {
    const document = seats((all) => {
      (place(all)['fields'] as Loose[]).push({ name: 'weight', description: 'Weight', type: 'integer', unit: 'kg' });
      (place(all)['rules'] as Loose[]).push({ rule: 'price > weight', message: 'No.' });
    });
    found(document, 'records.place.rules[2]', /CHF and kg are two units|kg and CHF are two units/);
  });

  it('10: money as a float', () => {
    const document = seats((all) =>
      Object.assign(field(place(all), 'price'), { type: 'float', precision: undefined, scale: undefined }),
    );
    found(JSON.parse(JSON.stringify(document)), 'records.place.fields.price.type', /price is money.*decimal/);
  });

  it('11: a day where a moment is meant, and months at their end', () => {
    found(
      seats((all) => (action(all, 'cancel')['steps'][1].rule = '@today <= e.starts_at')),
      'actions.cancel.steps[1]',
      /compares date with timestamp.*date\(started_at\)/,
    );
    found(
      seats((all) => (action(all, 'hold')['returns'][1] = 'until = @now + 10')),
      'actions.hold.returns[1]',
      /timestamp \+ integer has no meaning.*3 days/,
    );
  });

  it('12: active beside a state', () => {
    const document = seats((all) =>
      (place(all)['fields'] as Loose[]).push({
        name: 'active',
        description: 'Active',
        type: 'boolean',
        default: 'true',
      }),
    );
    found(document, 'records.place.fields.active', /active and state may contradict each other/);
  });

  it('13: check, then act, where two at once can both pass', () => {
    const document = seats(
      (all) => (action(all, 'hold')['steps'][1].rule = "count(place where session = :session and state != 'free') < 8"),
    );
    found(document, 'actions.hold.steps[1]', /two at once can both pass.*(?:read_for_update|lock)/);
  });

  it('13: adds the lock where the document says which record it is', () => {
    const document = seats((all) => {
      const hold = action(all, 'hold');
      hold['steps'].shift();
      hold['steps'][0].rule = 'count(place where event = :event and session = :session) < 8';
      hold['steps'] = [
        hold['steps'][0],
        {
          op: 'insert',
          record: 'place',
          set: ['event = :event', "no = 'X'", "category = 'I'", 'price = 1', 'session = :session'],
        },
      ];
      place(all)['operations'] = [];
      all['examples'] = [];
    });
    const { checked, problems } = checkSpecification(document);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error'),
      [],
    );
    const [first, second, third] = checked?.actions.find(({ name }) => name === 'hold')?.steps ?? [];
    assert.ok(first?.op === 'read_for_update' && first.added && first.record === 'event');
    assert.equal(second?.op, 'check');
    assert.equal(third?.op, 'insert', 'the insert has the lock already');
    const [anchor] = checked?.records.find(({ name }) => name === 'place')?.anchors ?? [];
    assert.equal(anchor?.record, 'event');
    assert.equal(anchor.via, 'event', 'create and delete of a place lock the event as well');
  });

  it('14: states that are never reached, have no move, or are set past the moves', () => {
    found(
      seats((all) => (field(place(all), 'state')['values'] as string[]).push('returned')),
      'records.place.states.moves',
      /'returned' is never reached/,
    );
    found(
      seats((all) => delete field(place(all), 'state')['managed'] && place(all)['operations'].push('update')),
      'records.place.fields.state',
      /update can set state as well, and goes past the checks.*managed/,
    );
    found(
      seats((all) => (action(all, 'cancel')['steps'][4].set[0] = "state = 'gone'")),
      'actions.cancel.steps[4]',
      /'gone' is none of/,
    );
    found(
      seats(
        (all) =>
          place(all)['states'].moves.pop() && action(all, 'release')['steps'][1].set.splice(0, 1, "state = 'sold'"),
      ) &&
        seats(
          (all) =>
            (place(all)['states'].moves = [
              { from: 'free', to: ['held'] },
              { from: 'held', to: ['free'] },
            ]),
        ),
      'records.place.states.moves',
      /'sold' is never reached/,
    );
  });

  it('15: a kept balance that is set', () => {
    const document = ledger((all) =>
      action(all, 'post')['steps'][4].steps.push({ op: 'update', row: 'a', set: ['balance = balance + 1'] }),
    );
    found(document, 'actions.post.steps[4].steps', /balance is kept as a sum over line; do not set it/);
  });

  it('16: unique over a field that may be absent', () => {
    found(
      ledger((all) => delete named(all['records'], 'entry')['unique'][0].when),
      'records.entry.unique[0]',
      /reverses is optional.*is not null/,
    );
  });

  it('17: letter case of what is unique', () => {
    found(
      seats((all) => delete field(named(all['records'], 'event'), 'code')['letter_case']),
      'records.event.fields.code',
      /code is unique, and "A" and "a" differ/,
    );
  });

  it('18: words of formulas and letters of other languages as names', () => {
    found(
      seats((all) => (field(place(all), 'category')['name'] = 'Straße')),
      'records.place.fields',
      /is no name here.*English.*strasse/,
    );
    found(
      seats((all) => (field(place(all), 'category')['name'] = 'and')),
      'records',
      /and is a word of formulas/,
    );
  });

  it('19: tenants without a hole: the field, the filter and the scope come by themselves', () => {
    const document = seats((all) => {
      named(all['records'], 'event')['per_tenant'] = true;
      named(all['records'], 'event')['fields'].push({ name: 'tenant', description: 'Tenant', type: 'text' });
    });
    found(document, 'records.event.fields.tenant', /event has tenant already: per_tenant brings it/);
  });

  it('20: an identity that the caller gives', () => {
    const document = seats((all) => {
      action(all, 'cancel')['args'].push({ name: 'user_id', description: 'User', type: 'text' });
      action(all, 'cancel')['allowed'] = ":user_id = 'boss'";
    });
    found(document, 'actions.cancel.allowed', /:user_id is what the caller says.*@user/);
    found(
      seats((all) => (action(all, 'cancel')['allowed'] = "@role = 'boss'")),
      'actions.cancel.allowed',
      /several roles.*has_role/,
    );
  });

  it('21: an end that nobody brings', () => {
    found(
      seats((all) => delete place(all)['expires']),
      'records.place.fields.held_until',
      /nothing happens at held_until: who ends it/,
    );
  });

  it('22: history that goes with what it is about', () => {
    const document = ledger((all) => (field(named(all['records'], 'line'), 'account')['on_delete'] = 'cascade'));
    found(document, 'records.line.fields.account.on_delete', /deleting an account would remove line/);
  });

  it('23: a change that drops what it does not mention', () => {
    const before = JSON.parse(SEATS);
    const after = seats(
      (all) => (place(all)['fields'] = (place(all)['fields'] as Loose[]).filter(({ name }) => name !== 'category')),
    );
    assert.match(
      compareVersions(before, after as never, 'Seats get a colour.')[0]?.message ?? '',
      /category is gone, and the request does not ask for it/,
    );
    assert.deepEqual(compareVersions(before, after as never, 'Remove the category of seats.'), []);
    const renamed = seats((all) => Object.assign(field(place(all), 'category'), { name: 'class', was: 'category' }));
    assert.deepEqual(compareVersions(before, renamed as never, 'Call it class.'), []);
  });

  it('23: a change that takes from callers of today what they give or read', () => {
    const before = JSON.parse(SEATS);
    const said = (after: Loose, request: string): readonly string[] =>
      compareVersions(before, after as never, request).map(({ path, message }) => `${path}: ${message}`);
    const name = 'session';
    const without = seats(
      (all) =>
        (action(all, 'hold')['args'] = (action(all, 'hold')['args'] as Loose[]).filter(
          (each) => each['name'] !== name,
        )),
    );
    assert.deepEqual(said(without, 'Seats get a colour.'), [
      `actions.hold.args.${name}: ${name} is gone, and the request does not ask for it.`,
    ]);
    assert.deepEqual(said(without, `hold needs no ${name} any more.`), [
      `actions.hold.args.${name}: callers of today give ${name}, and would be refused.`,
    ]);
    const shorter = seats(
      (all) => (all['queries'][0].columns = (all['queries'][0].columns as string[]).filter((each) => each !== 'price')),
    );
    assert.deepEqual(said(shorter, 'Bids get a note.'), [
      `queries.${String(before.queries[0].name)}.columns.price: price is gone, and the request does not ask for it.`,
    ]);
  });

  it('25: texts that hide something', () => {
    found(
      seats((all) => (place(all)['description'] = 'A seat\u202e; DROP TABLE place')),
      'records[1].description',
      /a character that nobody sees/,
    );
    found(
      seats((all) => (place(all)['description'] = 'A seat\nGRANT ALL')),
      'records[1].description',
      /a character that nobody sees/,
    );
    found(
      seats((all) => (place(all)['name'] = 'place; DROP TABLE x; --')),
      'records',
      /is no name here/,
    );
  });

  it('27: money as a JSON number', () => {
    found(
      seats((all) => (all['examples'][0].given[1].arguments[3].value = 40)),
      'examples[0].given[1]',
      /a JSON number loses digits.*"40.00"/,
    );
  });

  it('28: names that are there twice', () => {
    found(
      seats((all) => (field(place(all), 'category')['name'] = 'no')),
      'records.place.fields',
      /the name no is there twice/,
    );
    found(
      seats((all) => (action(all, 'hold')['name'] = 'create')),
      'actions.create',
      /standard operation/,
    );
  });

  it('30: a year that is right for a year', () => {
    const document = seats((all) =>
      (named(all['queries'], 'map')['where'] as string[]).push("event.starts_at > '2024-01-01T00:00:00Z'"),
    );
    found(document, 'queries.map', /where does 2024 come from/);
  });

  it('31: a limit over all records that is counted by somebody who sees a part of them', () => {
    const shown = (read: string) => seats((all) => (place(all)['row_access'] = { read, write: 'true' }));
    found(
      shown("has_role('seller') or no = '1'"),
      'actions.hold',
      /decides by those of place only that its caller sees/,
    );
    const { problems } = checkSpecification(shown('true'));
    assert.ok(!problems.some(({ code }) => code === 'seen-in-part'), 'who sees all counts all');
    const asked = (read: string, change: (hold: Loose) => void): readonly string[] => {
      const document = seats((all) => {
        place(all)['row_access'] = { read, write: 'true' };
        change(action(all, 'hold'));
      });
      return checkSpecification(document).problems.flatMap(({ code, path }) => (path === 'actions.hold' ? [code] : []));
    };
    const own = "has_role('seller') or session = @user";
    assert.ok(asked(own, () => undefined).includes('seen-in-part'));
    const isLet = asked(own, (hold) => (hold['allowed'] = "has_role('seller')"));
    assert.ok(!isLet.includes('seen-in-part'), 'who is let in sees all');
    const isOther = asked(own, (hold) => (hold['allowed'] = "has_role('guest')"));
    assert.ok(isOther.includes('seen-in-part'), 'who is let in sees a part');
    const isPast = asked(own, (hold) => {
      hold['steps'] = JSON.parse(JSON.stringify(hold['steps']).replaceAll(/\b(count|exists)\(place/g, '$1(all place'));
    });
    assert.ok(!isPast.includes('seen-in-part'), 'all are counted, and the document says so');
  });

  it('31: all stands before the records of a set, and nowhere else', () => {
    const rule = (text: string): unknown =>
      seats((all) => action(all, 'hold')['steps'].push({ op: 'check', rule: text, message: 'No.' }));
    for (const text of ['sum(all :seats) > 0', 'len(all :session) > 0', 'count(all :seats) > 0'])
      found(rule(text), 'actions.hold', /all stands before a type of record/);
    for (const text of [
      'count(all place where event = e.code) > 0',
      'count(distinct all place.no where event = e.code) > 0',
    ])
      assert.ok(!checkSpecification(rule(text)).problems.some(({ code }) => code === 'formula'), text);
  });

  it('says how rows of a window are counted', () => {
    const column = (text: string): unknown =>
      seats((all) => named(all['queries'], 'map')['columns'].push(`w = ${text}`));
    for (const [text, expected] of [
      ['sum(price) over (rows 2 preceding)', /in which order/],
      ['rank() over (order by no rows 2 preceding)', /rank has no rows/],
      ['sum(price) over (order by no rows unbounded preceding)', /so many before it/],
      ['sum(price) over (order by no rows between 2 preceding and 1 following)', /expected current/],
    ] as const)
      found(column(text), 'queries.map', expected);
  });

  it('says all problems at once, and each with its place', () => {
    const document = seats((all) => {
      field(place(all), 'price')['min'] = 'zero';
      action(all, 'hold')['steps'][0].where = 'cod = :event';
      action(all, 'scan')['steps'][1].rule = "p.state == 'sold'";
      named(all['queries'], 'map')['order_by'] = ['nr'];
    });
    const paths = checkSpecification(document).problems.map(({ path }) => path);
    assert.deepEqual(paths, [
      'records.place.fields.price.min',
      'queries.map.order_by[0]',
      'actions.hold.steps[0].where',
      'actions.scan.steps[1].rule',
    ]);
  });

  it('means what optional arguments do when they are absent', () => {
    const document = seats((all) => {
      named(all['queries'], 'map')['args'].push({
        name: 'category',
        description: 'Category',
        type: 'text',
        optional: true,
      });
      named(all['queries'], 'map')['where'].push('category = :category');
    });
    found(document, 'queries.map.where[1]', /:category is optional.*not given\(:category\) or category = :category/);
  });

  it('refuses a write that goes past what an action checks', () => {
    found(
      ledger((all) => named(all['records'], 'entry')['operations'].push('create')),
      'records.entry.operations',
      /create goes past the checks of action post/,
    );
  });

  it('lets a part come later that no check has looked at', () => {
    const checks = {
      'count(all filing where topic = :topic) < 3': /^$/,
      'count(:papers) > 0': /create goes past the checks of action file/,
      'count(:papers) + before < 9': /create goes past the checks of action file/,
      'not exists(all paper where name = :topic)': /create goes past the checks of action file/,
      "has_role('clerk')": /create goes past the checks of action file/,
    };
    for (const [rule, expected] of Object.entries(checks)) {
      const { problems } = checkSpecification(filings(rule));
      const said = problems.filter(({ severity }) => severity === 'error').map(({ message }) => message);
      assert.match(said.join('\n'), expected, rule);
    }
  });

  it('takes a state that comes by itself without a move', () => {
    const document = seats((all) => {
      const { states, expires } = place(all);
      states.moves[1].to = ['sold'];
      expires.set = ["state = 'free'", 'session = null', 'held_until = null'];
      states.moves.push({ from: 'lapsed', to: ['free'] });
      field(place(all), 'state')['values'].push('lapsed');
      expires.set[0] = "state = 'lapsed'";
    });
    const { problems } = checkSpecification(document);
    assert.deepEqual(
      problems.filter(({ path }) => path.includes('states')),
      [],
    );
  });

  it('lets actions that choose what no other has go one at a time', () => {
    const find = { op: 'read', record: 'page', as: 'twin', where: 'slug = :wish' };
    const choose = { op: 'let', values: ["chosen = if(twin is null, :wish, concat(:wish, '-2'))"] };
    const chooseBySet = { op: 'let', values: ["chosen = if(exists(page where slug = :wish), 'b', :wish)"] };
    const refuse = { op: 'check', rule: 'not exists(page where slug = :wish)', message: 'Taken.' };
    const add = { op: 'insert', record: 'page', set: ['site = :site', 'slug = chosen', 'no = :no'], as: 'p' };
    const inSite = { op: 'read', record: 'page', as: 'twin', where: 'site = s.id and no = :no' };
    const site = { op: 'read_for_update', record: 'site', as: 's', where: 'id = :site', message: 'No such site.' };
    const wish = { op: 'let', values: ['chosen = :wish'] };
    const firstOf = (steps: readonly unknown[]): unknown => {
      const { checked, problems } = checkSpecification(pages(steps));
      assert.deepEqual(problems, []);
      return checked?.actions[0]?.steps[0]?.op;
    };
    assert.equal(firstOf([find, choose, add]), 'lock');
    assert.equal(firstOf([chooseBySet, add]), 'lock');
    assert.equal(firstOf([refuse, wish, add]), 'check');
    assert.equal(firstOf([site, inSite, wish, add]), 'read_for_update');
  });

  it('refuses a rule that is only true for a moment', () => {
    found(
      seats((all) => place(all)['rules'].push({ rule: 'held_until > @now', message: 'No.' })),
      'records.place.rules[2]',
      /what is stored must stay true.*check of an action/,
    );
  });

  it('refuses what no database keeps and no message carries', () => {
    const cases: readonly (readonly [(all: Loose) => unknown, string, RegExp])[] = [
      [(all) => (field(place(all), 'category')['name'] = 'constructor'), 'records.place.fields', /word of JavaScript/],
      [(all) => (action(all, 'hold')['returns'][0] = 'prototype = 1'), 'actions.hold.returns[0]', /is no name here/],
      [
        (all) => (action(all, 'hold')['returns'][0] = 'left = e.starts_at - @now'),
        'actions.hold.returns[0]',
        /a length of time is nothing that callers are answered.*minutes\(from, to\)/,
      ],
      [
        (all) => (action(all, 'hold')['returns'][0] = 'it = e'),
        'actions.hold.returns[0]',
        /an event is nothing that callers are answered/,
      ],
      [
        (all) => (field(place(all), 'state')['values'] = ['free', 'held', 'sold', 'Free']),
        'records.place.fields.state.values',
        /'Free' is there twice/,
      ],
      [(all) => (field(place(all), 'price')['max'] = '-1'), 'records.place.fields.price', /max is less than min/],
      [(all) => (place(all)['key'] = ['no', 'held_until']), 'records.place.key', /held_until is optional/],
      [
        (all) => (place(all)['rules'][0].rule = 'state in () or price = 1'),
        'records.place.rules[0]',
        /the list is empty/,
      ],
      [
        (all) => (action(all, 'cancel')['steps'][1].rule = 'e.starts_at - @now > 1 month'),
        'actions.cancel.steps[1]',
        /months and years have no length/,
      ],
      [
        (all) => (named(all['records'], 'event')['key'] = ['code', 'starts_at']),
        'records.event.key',
        /named by one value, because callers fetch it by one key/,
      ],
      [
        (all) => (named(all['records'], 'event')['key'] = ['code', 'starts_at']),
        'records.place.part_of',
        /a part names its whole by one value/,
      ],
      [
        (all) => (named(all['records'], 'event')['per_tenant'] = true),
        'records.place',
        /place has no tenant while its event has/,
      ],
      [
        (all) => (place(all)['description'] = 'A \ud800 seat'),
        'records[1].description',
        /a character that nobody sees/,
      ],
      [(all) => (all['covers'] = [{ sentence: 1, paths: ['constructor.x'] }]), 'covers[0]', /leads to nothing/],
      [
        (all) => Object.assign(place(all), { constructor: 1 }),
        'records.place',
        /there is no property constructor here/,
      ],
      [
        (all) => (place(all)['rules'][0].rule = 'constructor(price) > 1'),
        'records.place.rules[0]',
        /there is no function constructor/,
      ],
      [
        (all) => (place(all)['rules'][0].rule = "held_until > '2026-02-30T00:00:00Z'"),
        'records.place.rules[0]',
        /where timestamp is wanted/,
      ],
    ];
    for (const [spoil, path, expected] of cases) found(seats(spoil), path, expected);
  });

  it('takes an action that only other actions run: a call does not ask who may', async () => {
    const document = seats((all) => {
      action(all, 'release')['allowed'] = 'false';
      all['actions'].push({
        ...{
          name: 'give_up',
          description: 'Gives up',
          args: [{ name: 'event', description: 'Event', type: 'reference', references: 'event' }],
        },
        steps: [{ op: 'call', action: 'release', arguments: ['event = :event', "session = 's1'"] }],
      });
      const [example] = all['examples'];
      const event = [{ name: 'event', value: '@F1' }];
      example.call = { operation: 'give_up', arguments: event };
      example.expect = { outcome: 'ok' };
      all['examples'][1] = structuredClone(example);
      all['examples'][1].call = { operation: 'release', arguments: [...event, { name: 'session', value: 's1' }] };
      all['examples'][1].expect = { outcome: 'error', error: 'forbidden' };
    });
    const { checked, problems } = checkSpecification(document);
    assert.ok(checked, JSON.stringify(problems));
    assert.deepEqual(await tryExamples(checked), []);
  });

  it('refuses a stored total over what ends by itself', () => {
    const total = (when: string) => (all: Loose) =>
      named(all['records'], 'event')['fields'].push({
        ...{ name: 'sum_held', description: 'Seats', type: 'integer' },
        rollup: { function: 'count', child: 'place', via: 'event', when },
      });
    found(seats(total("state = 'held'")), 'records.event.fields.sum_held.rollup', /place expires by itself/);
    assert.ok(checkSpecification(seats(total("category = 'I'"))).checked, 'what its end does not change is counted');
  });

  it('refuses what comes of itself, through other records as well: a chain of them may be a circle', () => {
    const node = (name: string, ...fields: Loose[]): Loose => ({
      ...{ name, description: 'A node', key: 'auto', operations: ['create', 'update'] },
      fields: [
        { name: 'above', description: 'What is above it', type: 'reference', references: 'node', optional: true },
        { name: 'own', description: 'Its own amount', type: 'integer' },
        { name: 'state', description: 'Whether it is open', type: 'enum', values: ['open', 'over'], default: "'open'" },
        ...fields,
      ],
    });
    const document = (...records: Loose[]): Loose => ({
      ...{ beds: 1, domain: 'tree', description: 'A tree.', store: 'main', zone: 'UTC', records },
      ...{ examples: [], assumptions: [], questions: [] },
    });
    const number = (name: string, more: Loose): Loose => ({ name, description: 'A number', type: 'integer', ...more });
    const sum = (value: string, child = 'node'): Loose => ({ rollup: { function: 'sum', child, value, via: 'above' } });
    const circles: (readonly [Loose[], string, RegExp])[] = [
      [
        [node('node', number('total', sum('own + total')))],
        'fields.total',
        /node\.total from node\.total: .*a total of what/,
      ],
      [
        [node('node', number('total', sum('whole')), number('whole', { computed: 'own + total' }))],
        'fields.total',
        /whole/,
      ],
      [
        [node('node', number('depth', { optional: true, computed: 'above.depth + 1' }))],
        'fields.depth',
        /node\.depth from/,
      ],
      [
        [node('node', number('size', { computed: '1 + sum(node.size where above = this.id)' }))],
        'fields.size',
        /node\.size/,
      ],
      [
        [node('node', number('x', { computed: 'y' }), number('y', { computed: 'x' }))],
        'fields.x',
        /node\.x from node\.y/,
      ],
      [
        [
          node('node', number('total', sum('total', 'leaf'))),
          node('leaf', number('total', { computed: 'above.total' })),
        ],
        'fields.total',
        /node\.total from leaf\.total from node\.total/,
      ],
      [
        [
          {
            ...node('node', { name: 'until', description: 'Its end', type: 'timestamp' }),
            expires: { when: "state = 'open' and above.state = 'open'", at: 'until', set: ["state = 'over'"] },
          },
        ],
        'fields.state',
        /node\.state from the end of node from node\.state/,
      ],
    ];
    for (const [records, path, expected] of circles) found(document(...records), `records.node.${path}`, expected);
    const allowed = document({
      ...node(
        'node',
        number('total', sum('own')),
        number('below', { computed: 'count(node where above = this.id and total > 0)' }),
        { name: 'until', description: 'Its end', type: 'timestamp' },
        { name: 'end', description: 'Its real end', type: 'timestamp', computed: 'until + 1 days' },
      ),
      expires: { when: "state = 'open'", at: 'end', set: ["state = 'over'"] },
    });
    const { problems } = checkSpecification(allowed);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error'),
      [],
    );
  });

  it('takes null for what is left out, and formats it so', () => {
    const document = seats((all) => (place(all)['immutable_when'] = null));
    assert.equal(formatSpecification(document as never), `${SEATS}\n`);
  });

  it('refuses an update of what is read without a lock, or may not be there', () => {
    found(
      seats((all) => (action(all, 'scan')['steps'][0].op = 'read')),
      'actions.scan.steps[3].row',
      /read without a lock.*read_for_update/,
    );
    found(
      seats((all) => delete action(all, 'scan')['steps'][0].message),
      'actions.scan.steps[3].row',
      /there may be no p/,
    );
  });
});

/** Filings with papers, which come with a filing or later: `rule` is checked before a filing is made. */
function filings(rule: string): unknown {
  const topic = { name: 'topic', description: 'What it is about', type: 'text' };
  const name = { name: 'name', description: 'Name of the paper', type: 'text' };
  return {
    beds: 1,
    domain: 'filings',
    description: 'Filings with papers.',
    store: 'main',
    zone: 'Europe/Zurich',
    records: [
      { name: 'filing', description: 'A filing', key: 'auto', operations: [], fields: [topic] },
      { name: 'paper', description: 'A paper', key: 'auto', part_of: 'filing', operations: ['create'], fields: [name] },
    ],
    actions: [
      {
        name: 'file',
        description: 'Files papers',
        args: [topic, { name: 'papers', description: 'Papers', type: 'list', columns: [name], max_items: 9 }],
        steps: [
          { op: 'lock', record: 'filing' },
          { op: 'lock', record: 'paper' },
          { op: 'let', values: ['before = count(:papers)'] },
          { op: 'check', rule, message: 'No.' },
          { op: 'insert', record: 'filing', set: ['topic = :topic'], as: 'f' },
          {
            op: 'for_each_item',
            list: ':papers',
            as: 'p',
            max: 9,
            steps: [{ op: 'insert', record: 'paper', set: ['filing = f.id', 'name = p.name'] }],
          },
        ],
      },
    ],
    assumptions: [],
    questions: [],
  };
}

/** Pages of sites with an action that adds one, by these steps. */
function pages(steps: readonly unknown[]): unknown {
  const wish = { name: 'wish', description: 'Wanted address', type: 'text' };
  const no = { name: 'no', description: 'Number in its site', type: 'integer' };
  const site = { name: 'site', description: 'Its site', type: 'reference', references: 'site' };
  return {
    beds: 1,
    domain: 'pages',
    description: 'Pages of sites.',
    store: 'main',
    zone: 'Europe/Zurich',
    records: [
      {
        name: 'page',
        description: 'A page',
        key: 'auto',
        operations: [],
        fields: [site, { ...wish, name: 'slug', letter_case: 'lower' }, no],
        unique: [{ fields: ['slug'] }, { fields: ['site', 'no'] }],
      },
      { name: 'site', description: 'A site', key: 'auto', operations: ['create'], fields: [{ ...wish, name: 'name' }] },
    ],
    actions: [{ name: 'add', description: 'Adds a page', args: [site, wish, no], steps }],
    assumptions: [],
    questions: [],
  };
}
