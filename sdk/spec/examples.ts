/** Two full specifications, which the prompt shows. A test checks them, and that they are formatted. */

export const SEATS = String.raw`{
  "beds": 1,
  "domain": "seats",
  "description": "Seats of events: held for ten minutes, then sold.",
  "store": "main",
  "zone": "Europe/Zurich",
  "records": [
    {
      "name": "event",
      "description": "A performance",
      "key": ["code"],
      "fields": [
        {
          "name": "code",
          "description": "Code of the event",
          "type": "text",
          "max_length": 20,
          "letter_case": "upper"
        },
        { "name": "starts_at", "description": "When it begins", "type": "timestamp" }
      ],
      "operations": ["create", "update", "delete"]
    },
    {
      "name": "place",
      "description": "A seat of an event",
      "key": ["no"],
      "part_of": "event",
      "fields": [
        { "name": "no", "description": "Row and number", "type": "text", "max_length": 6 },
        { "name": "category", "description": "Price category", "type": "text", "max_length": 10 },
        {
          "name": "price",
          "description": "Price of the seat",
          "type": "decimal",
          "precision": 12,
          "scale": 2,
          "min": "0",
          "unit": "CHF"
        },
        {
          "name": "state",
          "description": "Whether it can be had",
          "managed": true,
          "type": "enum",
          "values": ["free", "held", "sold"]
        },
        {
          "name": "session",
          "description": "Who holds or bought it",
          "optional": true,
          "managed": true,
          "type": "text",
          "max_length": 40
        },
        {
          "name": "held_until",
          "description": "End of the hold",
          "optional": true,
          "managed": true,
          "type": "timestamp"
        },
        {
          "name": "prolonged",
          "description": "Whether the hold was prolonged",
          "default": "false",
          "managed": true,
          "type": "boolean"
        },
        {
          "name": "booking",
          "description": "Code of the booking",
          "optional": true,
          "managed": true,
          "type": "text",
          "max_length": 8
        },
        {
          "name": "scanned_at",
          "description": "When it was scanned at the door",
          "optional": true,
          "managed": true,
          "type": "timestamp"
        }
      ],
      "rules": [
        { "rule": "state != 'sold' or booking is not null", "message": "A sold seat has a booking." },
        {
          "rule": "state != 'held' or (held_until is not null and session is not null)",
          "message": "A held seat has a session and an end."
        }
      ],
      "states": {
        "field": "state",
        "start": "free",
        "moves": [
          { "from": "free", "to": ["held"] },
          { "from": "held", "to": ["free", "sold"] },
          { "from": "sold", "to": ["free"] }
        ]
      },
      "expires": {
        "when": "state = 'held'",
        "at": "held_until",
        "set": ["state = 'free'", "session = null", "held_until = null"]
      },
      "operations": ["create"]
    }
  ],
  "queries": [
    {
      "name": "map",
      "description": "The seat map of an event",
      "args": [{ "name": "event", "description": "Event", "type": "reference", "references": "event" }],
      "from": "place",
      "where": ["event = :event"],
      "columns": ["no", "category", "price", "state"],
      "order_by": ["no"]
    },
    {
      "name": "revenue",
      "description": "Revenue by category",
      "args": [{ "name": "event", "description": "Event", "type": "reference", "references": "event" }],
      "from": "place",
      "where": ["event = :event", "state = 'sold'"],
      "group_by": ["category"],
      "columns": ["category", "tickets = count()", "revenue = sum(price)"],
      "order_by": ["category"]
    },
    {
      "name": "occupancy",
      "description": "Share of seats sold, in percent",
      "args": [{ "name": "event", "description": "Event", "type": "reference", "references": "event" }],
      "from": "place",
      "where": ["event = :event"],
      "columns": ["occupancy = round(100 * sum(if(state = 'sold', 1, 0)) / count(), 2)"]
    }
  ],
  "actions": [
    {
      "name": "hold",
      "description": "Holds one to eight seats, all or none",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "session", "description": "Session of the customer", "type": "text", "max_length": 40 },
        { "name": "seats", "description": "Seats wanted", "type": "text", "max_length": 6, "max_items": 8 }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "event",
          "as": "e",
          "where": "code = :event",
          "message": "No such event."
        },
        {
          "op": "check",
          "rule": "count(place where event = e.code and session = :session and state != 'free') + count(:seats) <= 8",
          "message": "Eight seats at most."
        },
        {
          "op": "for_each_item",
          "list": ":seats",
          "as": "s",
          "max": 8,
          "steps": [
            {
              "op": "read_for_update",
              "record": "place",
              "as": "p",
              "where": "event = e.code and no = s",
              "message": "No such seat."
            },
            {
              "op": "check",
              "rule": "p.state = 'free'",
              "message": "The seat {s} is taken.",
              "error": "conflict"
            },
            {
              "op": "update",
              "row": "p",
              "set": [
                "state = 'held'",
                "session = :session",
                "held_until = @now + 10 min",
                "prolonged = false"
              ]
            }
          ]
        }
      ],
      "returns": ["held = count(:seats)", "until = @now + 10 min"]
    },
    {
      "name": "prolong",
      "description": "Five minutes more, once",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "session", "description": "Session of the customer", "type": "text", "max_length": 40 }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "event",
          "as": "e",
          "where": "code = :event",
          "message": "No such event."
        },
        {
          "op": "check",
          "rule": "exists(place where event = e.code and session = :session and state = 'held' and not prolonged)",
          "message": "Nothing to prolong.",
          "error": "conflict"
        },
        {
          "op": "update_where",
          "record": "place",
          "where": "event = e.code and session = :session and state = 'held' and not prolonged",
          "set": ["held_until = held_until + 5 min", "prolonged = true"]
        }
      ]
    },
    {
      "name": "release",
      "description": "Gives held seats back",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "session", "description": "Session of the customer", "type": "text", "max_length": 40 }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "event",
          "as": "e",
          "where": "code = :event",
          "message": "No such event."
        },
        {
          "op": "update_where",
          "record": "place",
          "where": "event = e.code and session = :session and state = 'held'",
          "set": ["state = 'free'", "session = null", "held_until = null"]
        }
      ]
    },
    {
      "name": "check_out",
      "description": "Turns what is held into a booking",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "session", "description": "Session of the customer", "type": "text", "max_length": 40 }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "event",
          "as": "e",
          "where": "code = :event",
          "message": "No such event."
        },
        {
          "op": "let",
          "values": [
            "seats = count(place where event = e.code and session = :session and state = 'held')",
            "total = sum(place.price where event = e.code and session = :session and state = 'held')",
            "code = random_code(8)"
          ]
        },
        { "op": "check", "rule": "seats > 0", "message": "Nothing is held.", "error": "conflict" },
        {
          "op": "update_where",
          "record": "place",
          "where": "event = e.code and session = :session and state = 'held'",
          "set": ["state = 'sold'", "booking = code", "held_until = null"]
        }
      ],
      "returns": ["booking = code", "total = total"]
    },
    {
      "name": "cancel",
      "description": "The box office cancels a seat, until 24 hours before",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "no", "description": "Seat", "type": "text", "max_length": 6 }
      ],
      "allowed": "has_role('box_office')",
      "steps": [
        {
          "op": "read_for_update",
          "record": "event",
          "as": "e",
          "where": "code = :event",
          "message": "No such event."
        },
        {
          "op": "check",
          "rule": "@now <= e.starts_at - 24 hours",
          "message": "Too late to cancel.",
          "error": "conflict"
        },
        {
          "op": "read_for_update",
          "record": "place",
          "as": "p",
          "where": "event = e.code and no = :no",
          "message": "No such seat."
        },
        {
          "op": "check",
          "rule": "p.state = 'sold'",
          "message": "The seat is not sold.",
          "error": "conflict"
        },
        { "op": "update", "row": "p", "set": ["state = 'free'", "session = null", "booking = null"] }
      ]
    },
    {
      "name": "scan",
      "description": "Lets in, once",
      "args": [
        { "name": "event", "description": "Event", "type": "reference", "references": "event" },
        { "name": "no", "description": "Seat", "type": "text", "max_length": 6 },
        { "name": "booking", "description": "Code of the booking", "type": "text", "max_length": 8 }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "place",
          "as": "p",
          "where": "event = :event and no = :no",
          "message": "No such seat."
        },
        {
          "op": "check",
          "rule": "p.state = 'sold' and p.booking = :booking",
          "message": "Not a valid ticket."
        },
        {
          "op": "check",
          "rule": "p.scanned_at is null",
          "message": "Scanned already at {p.scanned_at}.",
          "error": "conflict"
        },
        { "op": "update", "row": "p", "set": ["scanned_at = @now"] }
      ]
    }
  ],
  "examples": [
    {
      "description": "Two cannot hold one seat.",
      "given": [
        {
          "operation": "create",
          "arguments": [{ "name": "code", "value": "F1" }, { "name": "starts_at", "value": "~now+3d" }],
          "as": "F1"
        },
        {
          "operation": "place_create",
          "arguments": [
            { "name": "event", "value": "@F1" },
            { "name": "no", "value": "A1" },
            { "name": "category", "value": "I" },
            { "name": "price", "value": "40.00" }
          ]
        },
        {
          "operation": "hold",
          "arguments": [
            { "name": "event", "value": "@F1" },
            { "name": "session", "value": "s1" },
            { "name": "seats", "value": ["A1"] }
          ]
        }
      ],
      "call": {
        "operation": "hold",
        "arguments": [
          { "name": "event", "value": "@F1" },
          { "name": "session", "value": "s2" },
          { "name": "seats", "value": ["A1"] }
        ]
      },
      "expect": { "outcome": "error", "error": "conflict" }
    },
    {
      "description": "A hold ends after ten minutes.",
      "given": [
        {
          "operation": "create",
          "arguments": [{ "name": "code", "value": "F1" }, { "name": "starts_at", "value": "~now+3d" }],
          "as": "F1"
        },
        {
          "operation": "place_create",
          "arguments": [
            { "name": "event", "value": "@F1" },
            { "name": "no", "value": "A1" },
            { "name": "category", "value": "I" },
            { "name": "price", "value": "40.00" }
          ]
        },
        {
          "operation": "hold",
          "arguments": [
            { "name": "event", "value": "@F1" },
            { "name": "session", "value": "s1" },
            { "name": "seats", "value": ["A1"] }
          ]
        }
      ],
      "pass": "11min",
      "call": {
        "operation": "check_out",
        "arguments": [{ "name": "event", "value": "@F1" }, { "name": "session", "value": "s1" }]
      },
      "expect": { "outcome": "error", "error": "conflict" }
    }
  ],
  "assumptions": ["The limit of eight counts per session, not per person: there is no customer account."],
  "questions": ["Is the booking code of a cancelled seat kept somewhere?"]
}`;

export const LEDGER = String.raw`{
  "beds": 1,
  "domain": "ledger",
  "description": "Double-entry general ledger.",
  "store": "main",
  "zone": "Europe/Zurich",
  "records": [
    {
      "name": "period",
      "description": "A month that is open or closed",
      "key": ["month"],
      "fields": [
        { "name": "month", "description": "Year and month", "type": "text", "mask": "dddd-dd" },
        {
          "name": "state",
          "description": "Whether it takes entries",
          "type": "enum",
          "values": ["open", "closed"]
        }
      ],
      "states": {
        "field": "state",
        "start": "open",
        "moves": [{ "from": "open", "to": ["closed"] }, { "from": "closed", "to": ["open"] }]
      },
      "operations": ["create"]
    },
    {
      "name": "account",
      "description": "An account",
      "key": ["number"],
      "fields": [
        { "name": "number", "description": "Number of the account", "type": "text", "mask": "dddd" },
        { "name": "name", "description": "Name of the account", "type": "text", "max_length": 100 },
        {
          "name": "kind",
          "description": "Kind of account",
          "type": "enum",
          "values": ["asset", "liability", "equity", "income", "expense"]
        },
        {
          "name": "currency",
          "description": "Currency by ISO 4217",
          "write_once": true,
          "type": "text",
          "mask": "AAA"
        },
        {
          "name": "guarded",
          "description": "Whether its balance never falls below zero",
          "default": "false",
          "type": "boolean"
        },
        { "name": "active", "description": "Whether it takes entries", "default": "true", "type": "boolean" },
        {
          "name": "balance",
          "description": "Balance, debit positive",
          "type": "decimal",
          "precision": 15,
          "scale": 2,
          "rollup": { "function": "sum", "child": "line", "value": "amount", "via": "account" }
        }
      ],
      "rules": [
        {
          "rule": "not guarded or balance >= 0",
          "message": "The account {number} must not fall below zero."
        }
      ],
      "operations": ["create", "update"]
    },
    {
      "name": "entry",
      "description": "A journal entry",
      "key": "auto",
      "fields": [
        {
          "name": "number",
          "description": "Number without gaps in a year",
          "type": "integer",
          "numbering": { "per": ["year(day)"], "gapless": true }
        },
        { "name": "day", "description": "Booking date", "type": "date" },
        { "name": "text", "description": "Text", "type": "text", "max_length": 200 },
        {
          "name": "document",
          "description": "Reference of the document",
          "optional": true,
          "type": "text",
          "max_length": 60
        },
        {
          "name": "reverses",
          "description": "The entry that this one reverses",
          "optional": true,
          "type": "reference",
          "references": "entry"
        }
      ],
      "unique": [
        {
          "fields": ["reverses"],
          "when": "reverses is not null",
          "message": "The entry is reversed already."
        }
      ],
      "immutable_when": "true",
      "operations": []
    },
    {
      "name": "line",
      "description": "A line of an entry",
      "key": ["no"],
      "part_of": "entry",
      "fields": [
        { "name": "no", "description": "Position", "type": "integer", "min": "1", "max": "200" },
        { "name": "account", "description": "Account", "type": "reference", "references": "account" },
        {
          "name": "amount",
          "description": "Debit positive, credit negative",
          "type": "decimal",
          "precision": 15,
          "scale": 2
        }
      ],
      "rules": [{ "rule": "amount != 0", "message": "A line has an amount." }],
      "immutable_when": "true",
      "operations": []
    }
  ],
  "queries": [
    {
      "name": "trial_balance",
      "description": "Balances at the end of a day",
      "args": [{ "name": "day", "description": "Day", "type": "date" }],
      "from": "line",
      "where": ["entry.day <= :day"],
      "group_by": ["account"],
      "columns": [
        "account",
        "debit = sum(greatest(amount, 0))",
        "credit = sum(greatest(-amount, 0))",
        "balance = sum(amount)"
      ],
      "order_by": ["account"]
    },
    {
      "name": "statement",
      "description": "Lines of an account with running balance",
      "args": [
        { "name": "account", "description": "Account", "type": "reference", "references": "account" },
        { "name": "first", "description": "First day", "type": "date" },
        { "name": "last", "description": "Last day", "type": "date" }
      ],
      "from": "line",
      "where": ["account = :account", "entry.day <= :last"],
      "columns": [
        "day = entry.day",
        "number = entry.number",
        "text = entry.text",
        "amount",
        "running = sum(amount) over (partition by account order by entry.day, entry.number, no)"
      ],
      "having": "day >= :first",
      "order_by": ["day", "number"]
    }
  ],
  "actions": [
    {
      "name": "post",
      "description": "Books an entry",
      "args": [
        { "name": "day", "description": "Booking date", "type": "date" },
        { "name": "text", "description": "Text", "type": "text" },
        {
          "name": "document",
          "description": "Reference of the document",
          "optional": true,
          "type": "text",
          "max_length": 60
        },
        {
          "name": "lines",
          "description": "Lines",
          "type": "list",
          "columns": [
            { "name": "account", "description": "Account", "type": "reference", "references": "account" },
            {
              "name": "debit",
              "description": "Debit",
              "optional": true,
              "type": "decimal",
              "precision": 15,
              "scale": 2,
              "min": "0.01"
            },
            {
              "name": "credit",
              "description": "Credit",
              "optional": true,
              "type": "decimal",
              "precision": 15,
              "scale": 2,
              "min": "0.01"
            }
          ],
          "min_items": 2,
          "max_items": 200
        }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "period",
          "as": "p",
          "where": "month = month_of(:day)",
          "message": "There is no such period."
        },
        {
          "op": "check",
          "rule": "p.state = 'open'",
          "message": "The period is closed.",
          "error": "conflict"
        },
        {
          "op": "check",
          "rule": "sum(:lines.debit) = sum(:lines.credit)",
          "message": "Debits and credits differ."
        },
        {
          "op": "insert",
          "record": "entry",
          "set": ["day = :day", "text = :text", "document = :document"],
          "as": "e"
        },
        {
          "op": "for_each_item",
          "list": ":lines",
          "as": "l",
          "max": 200,
          "steps": [
            {
              "op": "check",
              "rule": "l.debit is null and l.credit is not null or l.debit is not null and l.credit is null",
              "message": "A line has either a debit or a credit."
            },
            {
              "op": "read_for_update",
              "record": "account",
              "as": "a",
              "where": "number = l.account",
              "message": "No such account."
            },
            {
              "op": "check",
              "rule": "a.active",
              "message": "The account {a.number} is inactive.",
              "error": "conflict"
            },
            {
              "op": "insert",
              "record": "line",
              "set": [
                "entry = e.id",
                "no = position(l)",
                "account = a.number",
                "amount = coalesce(l.debit, 0) - coalesce(l.credit, 0)"
              ]
            }
          ]
        },
        {
          "op": "check",
          "rule": "count(distinct line.account.currency where entry = e.id) = 1",
          "message": "An entry has one currency."
        }
      ],
      "returns": ["id = e.id", "number = e.number"]
    },
    {
      "name": "reverse",
      "description": "Mirrors an entry, once",
      "args": [
        { "name": "entry", "description": "Entry", "type": "reference", "references": "entry" },
        { "name": "day", "description": "Booking date", "type": "date" }
      ],
      "steps": [
        {
          "op": "read_for_update",
          "record": "period",
          "as": "p",
          "where": "month = month_of(:day)",
          "message": "There is no such period."
        },
        {
          "op": "check",
          "rule": "p.state = 'open'",
          "message": "The period is closed.",
          "error": "conflict"
        },
        {
          "op": "read_for_update",
          "record": "entry",
          "as": "o",
          "where": "id = :entry",
          "message": "No such entry."
        },
        {
          "op": "insert",
          "record": "entry",
          "set": ["day = :day", "text = concat('Reversal of ', o.number)", "reverses = o.id"],
          "as": "e"
        },
        {
          "op": "for_each_row",
          "record": "line",
          "where": "entry = o.id",
          "order_by": ["no"],
          "as": "l",
          "max": 200,
          "steps": [
            {
              "op": "read_for_update",
              "record": "account",
              "as": "a",
              "where": "number = l.account",
              "message": "No such account."
            },
            {
              "op": "insert",
              "record": "line",
              "set": ["entry = e.id", "no = l.no", "account = a.number", "amount = -l.amount"]
            }
          ]
        }
      ],
      "returns": ["id = e.id", "number = e.number"]
    },
    {
      "name": "close_period",
      "description": "Closes a month when all earlier ones are closed",
      "args": [{ "name": "month", "description": "Month", "type": "reference", "references": "period" }],
      "steps": [
        { "op": "lock", "record": "period" },
        {
          "op": "read_for_update",
          "record": "period",
          "as": "p",
          "where": "month = :month",
          "message": "No such period."
        },
        {
          "op": "check",
          "rule": "not exists(period where month < p.month and state = 'open')",
          "message": "An earlier period is open.",
          "error": "conflict"
        },
        { "op": "update", "row": "p", "set": ["state = 'closed'"] }
      ]
    },
    {
      "name": "reopen_period",
      "description": "Reopens the latest closed month",
      "args": [{ "name": "month", "description": "Month", "type": "reference", "references": "period" }],
      "steps": [
        { "op": "lock", "record": "period" },
        {
          "op": "read_for_update",
          "record": "period",
          "as": "p",
          "where": "month = :month",
          "message": "No such period."
        },
        {
          "op": "check",
          "rule": "not exists(period where month > p.month and state = 'closed')",
          "message": "A later period is closed.",
          "error": "conflict"
        },
        { "op": "update", "row": "p", "set": ["state = 'open'"] }
      ]
    }
  ],
  "examples": [
    {
      "description": "A guarded account does not fall below zero.",
      "given": [
        { "operation": "create", "arguments": [{ "name": "month", "value": "2026-01" }] },
        {
          "operation": "account_create",
          "arguments": [
            { "name": "number", "value": "1000" },
            { "name": "name", "value": "Cash" },
            { "name": "kind", "value": "asset" },
            { "name": "currency", "value": "CHF" },
            { "name": "guarded", "value": true }
          ]
        },
        {
          "operation": "account_create",
          "arguments": [
            { "name": "number", "value": "3000" },
            { "name": "name", "value": "Sales" },
            { "name": "kind", "value": "income" },
            { "name": "currency", "value": "CHF" }
          ]
        }
      ],
      "call": {
        "operation": "post",
        "arguments": [
          { "name": "day", "value": "2026-01-10" },
          { "name": "text", "value": "x" },
          {
            "name": "lines",
            "value": [
              { "fields": [{ "name": "account", "value": "1000" }, { "name": "credit", "value": "1.00" }] },
              { "fields": [{ "name": "account", "value": "3000" }, { "name": "debit", "value": "1.00" }] }
            ]
          }
        ]
      },
      "expect": { "outcome": "error", "error": "invalid" }
    }
  ],
  "assumptions": ["Reversals are booked on the day given, not on the day of the original."],
  "questions": ["May a reversal itself be reversed?"]
}`;
