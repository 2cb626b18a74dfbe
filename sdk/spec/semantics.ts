/** What the language means, on one page: for the reference and for the prompt. */
export const SEMANTICS = `**Formulas.** \`and or not\`, \`= != < <= > >=\`, \`in (a, b)\`, \`between a and b\`, \`is null\`, \`+ - * / %\`. Texts in single quotation marks: 'open'. Arguments are \`:name\`, columns of a list argument \`:lines.amount\`. A field is its bare name in its own record, \`alias.field\` elsewhere; \`order.customer.name\` follows references. \`@user @tenant @now @today\` come from the call; roles are asked for by \`has_role('manager')\`. Nothing that decides who may is ever an argument.

**Null.** Comparing with null is false, so \`not (a = b)\` is true where one is null. Calculating with null gives null; \`and\`, \`or\` and \`not\` take it as false. A sum of nothing is 0; min, max, avg and first of nothing are null. Ask with \`is null\`, or use \`coalesce\`.

**Numbers.** Decimals are exact and rounded half away from zero. A division stands inside of \`round\`, \`floor\` or \`ceil\`; one by zero is null. Two units are never added or compared.

**Time.** A timestamp is a moment, a date a day, a time a time of day. \`@now + 15 min\`, \`day + 3 days\`, \`last + months * 1 month\` (31 January plus a month is 28 or 29 February). Days and times of day are those of the zone of the document. Spans begin with their start and end before their end. A moment minus a moment is a length of time: \`@now - out_at > 2 hours\`; for a number take \`minutes(a, b)\`, \`days(a, b)\`.

**Enums** are ordered as their values are written: \`stage < 'offer'\`.

**Sets** look at stored records: \`count(place where event = e.code)\`. Inside, bare names are fields of that record; \`this.field\` is the row around it. Sets stand in actions, queries, computed fields and row_access; not in rules.

**Rules** hold for one record after every write, whoever writes; they know neither @now nor @user. \`states\` tests the old and the new value: a move to the same state is allowed. \`immutable_when\` tests the stored record. \`write_once\` is set at creation.

**Standard operations.** Every record has fetch (by key) and list (filters, order, pages). Which of create, update and delete there are, \`operations\` says. Update is partial: an absent argument keeps, null clears. Everywhere else null and absent are the same: an argument that is null is not given. A \`managed\` field is not taken by update. A new record has the first state.

**Actions** happen wholly or not at all. Steps see what earlier steps wrote; after an update the name of the row stands for the new row. \`read_for_update\` with a message refuses where there is none (not_found); without one the name is null. The answer is one object: the records that steps outside of loops added and changed by name, whole and as they are at the end, each under the name of its type (under the name of the row where there are two of a type), and what \`returns\` names. What runs by day takes an optional date with default @today.

**Errors.** check: as it says, invalid by default. A rule, a bound, a mask: invalid. unique, no_overlap, states, version, immutable_when, on_delete restrict, a reference to what is not there: conflict. allowed, row_access on writing: forbidden. Nothing there, or nothing that the caller may see: not_found.

**Two at once.** A check or a value over a set must be anchored: its filter names one record (\`event = e.code\`) that the action has read for update; BEDS adds the lock where the filter says which record it is, and makes every other writer take it. Where no record stands for the set, \`lock\` is the first step. What one action checks has no other way: no create, update or delete beside it writes the same. Deadlocks are tried again. \`allowed\` is not anchored: it is about the moment of the call.

**Row access, soft delete and tenants** filter every read, set, join, reference and total by themselves. **Expiry** holds for every reader from its moment on. **Rollups** change with every write of a child; the rules about them are tested when the action ends, so that lines that cancel out may follow one another. row_access may follow references (\`project.owner = @user\`); a part has one of its own; \`write\` is asked of what a caller adds, changes or deletes, not of read_for_update, rollups or expiry. Sets inside of row_access look at all records of the organisation. Others count what the caller sees, and with \`all\` everybody's: a limit is \`count(all booking where session = s.id) < s.seats\`, free seats are \`seats - count(all booking where session = this.id)\`. A tenant is a role of the form \`tenant:name\` that the user has; who has none adds nothing (forbidden). What is deleted softly goes on holding its key and what it names, and its unique values are free again; what has ended holds nothing. Names made inside of a loop or an if end with it; a name from outside keeps what it was given there.

**Questions that come up.**

- *Locks.* A path in a check (\`booking.room.state\`) is read without a lock: where that must still hold at the end, read the record for update. The rows of a for_each_row are locked and anchor sets as well. The filter of a set may follow paths, but only a reference of its own record anchors it.
- *Rows* stand for what is stored now, after an update and after a \`call\` too. A \`call\` does not ask who may: "allowed": "false" makes an action that only other actions run.
- *Inside of a set* the row around it is \`this.field\`, or its alias in a query or an action.
- *Expiry* changes its own record only, and by itself nothing else: what follows for others is computed by those who read. What has expired counts as ended in unique and no_overlap rules too. A new record has the first state; an action that needs another one inserts and then updates.
- *Clock and caller* may stand in computed fields, in defaults, in min and max of arguments, and in min and max of write_once fields.
- *Managed* fields are changed by actions only. Create takes one only where every record has a value of it: not optional.
- *Computed* fields may be of any type, enums too: \`if(result > high, 'high', 'normal')\`, null where a part is null and no choice says otherwise. Neither they nor rollups come of themselves, through other records either: what goes up or down a tree is a managed field that actions write.
- *A reference* names a record by one value: one with key auto, uuid or a single field. What BEDS numbers is a field beside such a key.
- *Roles* are texts of the brief's choice; two are \`has_role('a') or has_role('b')\`. Where everybody may write, row_access has \`"write": "true"\`.
- *A query that refuses* says so in \`requires\`. A list of what a loop added is a query of its own. A grid of positions is \`rows\`, or an action with a loop over \`range(1, 100)\`.
- *Units of time*: s, min, hours, days, weeks, months, years. \`15 min\`, \`n * 1 day\`.
- *Examples.* "@A" is the key of what the call with "as": "A" made: the first record that it added by name, or else changed. Times are given as they are at the call: "~now+2h", "~now-10min", "~today-3d", "~today+12mo", "~tomorrow 12:00", "~month-start", "~year-start". A single query, an action and fetch are expected with outcome ok and values, other queries and list with rows. An example holds at any time of day.
- *covers* names paths such as records.booking.no_overlap, queries.late, actions.pay, or a standard operation.`;

/** How to do what people ask for again and again. Each is a part of a document; a test checks them all. */
export const IDIOMS: readonly { readonly title: string; readonly document: string }[] = [
  {
    title: 'Optional filters, and a search by A or B',
    document: `{"records": [{"name": "song", "description": "A song", "key": "auto", "operations": ["create"], "fields": [{"name": "title", "description": "Title", "type": "text"}, {"name": "genre", "description": "Genre", "type": "text"}]}],
"queries": [{"name": "find", "description": "Songs by genre or words", "args": [{"name": "genre", "description": "Genre", "type": "text", "optional": true}, {"name": "words", "description": "Part of the title", "type": "text", "optional": true}], "from": "song", "where": ["not given(:genre) or genre = :genre", "not given(:words) or contains(title, :words)"], "columns": ["id", "title", "genre"], "order_by": ["title"]}]}`,
  },
  {
    title: 'An order that the caller chooses',
    document: `{"records": [{"name": "song", "description": "A song", "key": "auto", "operations": ["create"], "fields": [{"name": "title", "description": "Title", "type": "text"}, {"name": "plays", "description": "Plays", "type": "integer"}]}],
"queries": [{"name": "chart", "description": "Songs in an order", "args": [{"name": "by", "description": "Order", "type": "enum", "values": ["title", "plays"], "default": "'title'"}], "from": "song", "columns": ["id", "title", "plays"], "order_by": ["if(:by = 'plays', -plays, 0)", "title"]}]}`,
  },
  {
    title: 'The price as it was: copied into the line',
    document: `{"records": [{"name": "order", "description": "An order", "key": "auto", "operations": [], "fields": [{"name": "placed_at", "description": "When", "type": "timestamp"}, {"name": "total", "description": "Total", "type": "decimal", "precision": 12, "scale": 2, "unit": "CHF", "rollup": {"function": "sum", "child": "line", "value": "price * quantity", "via": "order"}}]}, {"name": "line", "description": "A line", "part_of": "order", "key": ["no"], "operations": [], "fields": [{"name": "no", "description": "Position", "type": "integer"}, {"name": "article", "description": "Article", "type": "reference", "references": "article"}, {"name": "quantity", "description": "Quantity", "type": "integer", "min": "1"}, {"name": "price", "description": "Price then", "type": "decimal", "precision": 12, "scale": 2, "unit": "CHF", "write_once": true}]}, {"name": "article", "description": "An article", "key": ["code"], "operations": ["create", "update"], "fields": [{"name": "code", "description": "Code", "type": "text", "max_length": 20, "letter_case": "upper"}, {"name": "price", "description": "Price", "type": "decimal", "precision": 12, "scale": 2, "unit": "CHF"}]}],
"actions": [{"name": "place", "description": "Places an order", "args": [{"name": "lines", "description": "Lines", "type": "list", "columns": [{"name": "article", "description": "Article", "type": "reference", "references": "article"}, {"name": "quantity", "description": "Quantity", "type": "integer"}], "min_items": 1, "max_items": 100}], "steps": [{"op": "insert", "record": "order", "set": ["placed_at = @now"], "as": "o"}, {"op": "for_each_item", "list": ":lines", "as": "l", "max": 100, "steps": [{"op": "read", "record": "article", "as": "a", "where": "code = l.article", "message": "No such article."}, {"op": "insert", "record": "line", "set": ["order = o.id", "no = position(l)", "article = a.code", "quantity = l.quantity", "price = a.price"]}]}], "returns": ["total = o.total"]}]}`,
  },
  {
    title: 'At most five favourites for each user',
    document: `{"records": [{"name": "song", "description": "A song", "key": "auto", "operations": ["create"], "fields": [{"name": "title", "description": "Title", "type": "text"}]}, {"name": "fan", "description": "A user with favourites", "key": ["user"], "operations": [], "fields": [{"name": "user", "description": "User", "type": "text", "max_length": 60}]}, {"name": "favourite", "description": "A favourite", "key": "auto", "operations": [], "fields": [{"name": "fan", "description": "User", "type": "reference", "references": "fan"}, {"name": "song", "description": "Song", "type": "reference", "references": "song"}], "unique": [{"fields": ["fan", "song"]}]}],
"actions": [{"name": "like", "description": "Adds a favourite", "args": [{"name": "song", "description": "Song", "type": "reference", "references": "song"}], "steps": [{"op": "insert", "record": "fan", "set": ["user = @user"], "on_duplicate": "skip"}, {"op": "read_for_update", "record": "fan", "as": "f", "where": "user = @user", "message": "Nobody calls."}, {"op": "check", "rule": "count(favourite where fan = f.user) < 5", "message": "Five favourites at most.", "error": "conflict"}, {"op": "insert", "record": "favourite", "set": ["fan = f.user", "song = :song"], "as": "v"}]}]}`,
  },
  {
    title: 'A substitute: the first that is free',
    document: `{"records": [{"name": "room", "description": "A room", "key": ["no"], "operations": ["create"], "fields": [{"name": "no", "description": "Number", "type": "integer"}, {"name": "beds", "description": "Beds", "type": "integer"}, {"name": "state", "description": "State", "type": "enum", "values": ["free", "taken"], "default": "'free'"}]}],
"actions": [{"name": "take", "description": "Takes the smallest free room", "args": [{"name": "beds", "description": "Beds", "type": "integer"}], "steps": [{"op": "read_for_update", "record": "room", "as": "r", "where": "state = 'free' and beds >= :beds", "order_by": ["beds", "no"], "message": "No room is free."}, {"op": "update", "row": "r", "set": ["state = 'taken'"]}]}]}`,
  },
  {
    title: 'Steps that are copied when a request is submitted',
    document: `{"records": [{"name": "template_step", "description": "A step that every request goes through", "key": ["no"], "operations": ["create", "delete"], "fields": [{"name": "no", "description": "Position", "type": "integer"}, {"name": "role", "description": "Who approves", "type": "text", "max_length": 40}]}, {"name": "request", "description": "A request", "key": "auto", "operations": [], "fields": [{"name": "text", "description": "What", "type": "text"}]}, {"name": "approval", "description": "A step of a request", "part_of": "request", "key": ["no"], "operations": [], "fields": [{"name": "no", "description": "Position", "type": "integer"}, {"name": "role", "description": "Who approves", "type": "text", "max_length": 40}, {"name": "approved_by", "description": "Who did", "type": "text", "optional": true}]}],
"actions": [{"name": "submit", "description": "Submits a request", "args": [{"name": "text", "description": "What", "type": "text"}], "steps": [{"op": "insert", "record": "request", "set": ["text = :text"], "as": "r"}, {"op": "for_each_row", "record": "template_step", "order_by": ["no"], "as": "t", "max": 20, "steps": [{"op": "insert", "record": "approval", "set": ["request = r.id", "no = t.no", "role = t.role"]}]}]}]}`,
  },
  {
    title: 'Final states, and a hold that ends by itself',
    document: `{"records": [{"name": "loan", "description": "A loan", "key": "auto", "operations": ["create"], "fields": [{"name": "state", "description": "State", "type": "enum", "values": ["asked", "out", "back", "lapsed"], "managed": true}, {"name": "asked_at", "description": "When", "type": "timestamp", "default": "@now"}], "states": {"field": "state", "start": "asked", "moves": [{"from": "asked", "to": ["out", "lapsed"]}, {"from": "out", "to": ["back"]}]}, "expires": {"when": "state = 'asked'", "at": "asked_at + 48 hours", "set": ["state = 'lapsed'"]}}],
"actions": [{"name": "hand_out", "description": "Hands it out", "args": [{"name": "loan", "description": "Loan", "type": "reference", "references": "loan"}], "steps": [{"op": "read_for_update", "record": "loan", "as": "l", "where": "id = :loan", "message": "No such loan."}, {"op": "check", "rule": "l.state = 'asked'", "message": "The loan is {l.state}.", "error": "conflict"}, {"op": "update", "row": "l", "set": ["state = 'out'"]}]}, {"name": "bring_back", "description": "Takes it back", "args": [{"name": "loan", "description": "Loan", "type": "reference", "references": "loan"}], "steps": [{"op": "read_for_update", "record": "loan", "as": "l", "where": "id = :loan", "message": "No such loan."}, {"op": "update", "row": "l", "set": ["state = 'back'"]}]}]}`,
  },
  {
    title: 'Several organisations, with roles',
    document: `{"records": [{"name": "deal", "description": "A deal", "key": "auto", "per_tenant": true, "operations": ["create", "update"], "fields": [{"name": "owner", "description": "Who made it", "type": "text", "default": "@user", "write_once": true}, {"name": "amount", "description": "Amount", "type": "decimal", "precision": 12, "scale": 2, "unit": "EUR"}], "row_access": {"read": "owner = @user or has_role('manager')", "write": "owner = @user"}}]}`,
  },
  {
    title: 'A nightly run that may be started twice',
    document: `{"records": [{"name": "member", "description": "A member", "key": ["no"], "operations": ["create"], "fields": [{"name": "no", "description": "Number", "type": "integer"}, {"name": "left_on", "description": "Day of leaving", "type": "date", "optional": true}]}, {"name": "bill", "description": "A bill", "key": "auto", "operations": [], "fields": [{"name": "member", "description": "Member", "type": "reference", "references": "member"}, {"name": "month", "description": "Month", "type": "text", "mask": "dddd-dd"}], "unique": [{"fields": ["member", "month"]}]}],
"actions": [{"name": "make_bills", "description": "Makes the bills of a month", "args": [{"name": "day", "description": "A day of the month", "type": "date", "default": "@today"}], "steps": [{"op": "let", "values": ["made = 0"]}, {"op": "for_each_row", "record": "member", "where": "left_on is null", "as": "m", "max": 10000, "steps": [{"op": "insert", "record": "bill", "set": ["member = m.no", "month = month_of(:day)"], "as": "b", "on_duplicate": "skip"}, {"op": "if", "condition": "b is not null", "then": [{"op": "let", "values": ["made = made + 1"]}]}]}], "returns": ["made = made"]}]}`,
  },
  {
    title: 'The first three of each group',
    document: `{"records": [{"name": "song", "description": "A song", "key": "auto", "operations": ["create"], "fields": [{"name": "title", "description": "Title", "type": "text"}, {"name": "genre", "description": "Genre", "type": "text"}, {"name": "plays", "description": "Plays", "type": "integer"}]}],
"queries": [{"name": "top_three", "description": "The most played of each genre", "from": "song", "columns": ["genre", "title", "plays", "place = rank() over (partition by genre order by plays desc)"], "top": {"count": "3", "per": ["genre"], "order_by": ["plays desc", "title"]}, "order_by": ["genre", "place"]}]}`,
  },
];
