import type {
  ActionSpec,
  ArgumentSpec,
  ColumnSpec,
  FieldSpec,
  QuerySpec,
  RecordSpec,
  Specification,
} from './language.js';

/**
 * A specification as the checker leaves it: every name resolved, every formula parsed and typed, every lock computed.
 * Generators read this and nothing else; what it says holds, so they need no check of their own.
 */

/* Types and formulas */

export type Type =
  | { readonly kind: 'text' | 'integer' | 'float' | 'boolean' | 'date' | 'time' | 'timestamp' | 'point' | 'json' }
  /** `scale` digits after the point. */
  | { readonly kind: 'decimal'; readonly scale: number }
  /** An amount of time: a fixed one in milliseconds, or one of whole months, whose length depends on where it begins. */
  | { readonly kind: 'span'; readonly calendar: boolean }
  | { readonly kind: 'enum'; readonly values: readonly string[] }
  /** The key of a record: of that type of record. */
  | { readonly kind: 'reference'; readonly record: string }
  /** A list of values of one type. */
  | { readonly kind: 'list'; readonly of: Type }
  /** A list of objects, and one item of it. */
  | { readonly kind: 'objects'; readonly columns: readonly CheckedColumn[] }
  | { readonly kind: 'object'; readonly columns: readonly CheckedColumn[] }
  /** A whole record that an action has read; only compared with null. */
  | { readonly kind: 'row'; readonly record: string }
  /** What an action that is called answers; `values` are its returned ones. */
  | { readonly kind: 'answer'; readonly values: readonly NamedFormula[] }
  | { readonly kind: 'null' };

export type Unit = 'us' | 'ms' | 's' | 'min' | 'hours' | 'days' | 'weeks' | 'months' | 'years';

interface Node {
  readonly type: Type;
  /** Whether it can be null. Comparing with null is false, so a generator wraps where its database thinks otherwise. */
  readonly nullable: boolean;
  /** Unit of a number, where it has one. */
  readonly unit?: string;
}

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>=';
export type Arithmetic = '+' | '-' | '*' | '/' | '%';
export type SetFunction = 'exists' | 'count' | 'sum' | 'min' | 'max' | 'avg' | 'first';
export type Direction = 'asc' | 'desc';

export interface OrderItem {
  readonly by: Formula;
  readonly direction: Direction;
}

export type Formula = Node &
  (
    | { readonly node: 'literal'; readonly value: string | number | boolean | null }
    /** A length of time that is written down: `15 min`. */
    | { readonly node: 'span'; readonly amount: number; readonly in: Unit }
    | { readonly node: 'argument'; readonly name: string }
    /** `:lines.amount`, a list of the values of one column. */
    | { readonly node: 'argument_column'; readonly name: string; readonly column: string }
    /** `given(:name)` */
    | { readonly node: 'given'; readonly name: string }
    | { readonly node: 'caller'; readonly what: 'user' | 'tenant' }
    | { readonly node: 'has_role'; readonly role: string }
    | { readonly node: 'now' }
    /** The day in the zone of the specification. */
    | { readonly node: 'today' }
    /**
     * A field. `row` is the name of the row: of a step or of a query's source; the type of record inside of a set and in the
     * `where` of a step. `this` is the row of the record in the formulas of a record; inside of a set it is the row directly
     * around the set. `path` are the references that are followed first, from that row on.
     */
    | {
        readonly node: 'field';
        readonly row: string;
        readonly path: readonly Hop[];
        readonly record: string;
        readonly field: string;
      }
    /** The whole row of a step: only ever in `x is null`, as a key that is compared, or as what is inserted as a reference. */
    | { readonly node: 'row'; readonly row: string }
    /** A value that a `let` has named, a scalar item of a list, or a column of a query, seen from later columns, `having`, `top` and `order_by`. */
    | { readonly node: 'variable'; readonly name: string }
    | { readonly node: 'item_column'; readonly item: string; readonly column: string }
    /** A value that a called action returned. */
    | { readonly node: 'answer_value'; readonly answer: string; readonly name: string }
    /** The place of an item in its loop, from 1. */
    | { readonly node: 'position'; readonly item: string }
    | { readonly node: 'not'; readonly of: Formula }
    | { readonly node: 'negate'; readonly of: Formula }
    | { readonly node: 'and' | 'or'; readonly of: readonly Formula[] }
    | { readonly node: 'compare'; readonly op: Comparison; readonly left: Formula; readonly right: Formula }
    | { readonly node: 'is_null'; readonly of: Formula; readonly not: boolean }
    | { readonly node: 'in'; readonly of: Formula; readonly list: readonly Formula[] | Formula; readonly not: boolean }
    | { readonly node: 'arithmetic'; readonly op: Arithmetic; readonly left: Formula; readonly right: Formula }
    /** A function of `functions.ts`. */
    | { readonly node: 'call'; readonly name: string; readonly args: readonly Formula[] }
    /** `sum(line.amount where entry = e.id)`: over stored records of a type, as far as they fit. */
    | {
        readonly node: 'set';
        readonly function: SetFunction;
        readonly record: string;
        /** `count(distinct line.account …)` */
        readonly distinct: boolean;
        /** `count(all loan …)`: those too that row_access hides from the caller. */
        readonly all: boolean;
        readonly value?: Formula;
        readonly where?: Formula;
        readonly order?: readonly OrderItem[];
      }
    /** `sum(:lines.amount)`, `count(:seats)`: over a list that a caller gave. */
    | {
        readonly node: 'list_total';
        readonly function: Exclude<SetFunction, 'first' | 'exists'>;
        readonly list: Formula;
      }
    /** A total of the rows of a query or of one of its groups: `sum(price)`, `count()`. `distinct` counts each value once. */
    | {
        readonly node: 'total';
        readonly function: 'count' | 'sum' | 'min' | 'max' | 'avg';
        readonly value?: Formula;
        readonly distinct: boolean;
      }
    | {
        readonly node: 'window';
        readonly function: 'count' | 'sum' | 'min' | 'max' | 'avg' | 'rank' | 'row_number' | 'lag' | 'lead';
        readonly value?: Formula;
        readonly partition: readonly Formula[];
        readonly order: readonly OrderItem[];
        /** Only the row and so many before it count. Absent: all from the first to the last that is equal in the order. */
        readonly preceding?: number;
      }
  );

/** A reference that is followed: the field of `from` that names a record of `to`. */
export interface Hop {
  readonly from: string;
  readonly field: string;
  readonly to: string;
  /** Whether the reference can be absent: what lies behind it is null then. */
  readonly optional: boolean;
}

export interface NamedFormula {
  readonly name: string;
  readonly value: Formula;
}

export interface CheckedRule {
  readonly rule: Formula;
  readonly message: Message;
  /** A name for a constraint, unique in the domain: `place_sold_has_booking`. */
  readonly name: string;
}

/** A text for callers: plain parts, and values in between. */
export type Message = readonly (string | Formula)[];

/* Fields and records */

export interface CheckedColumn {
  readonly spec: ColumnSpec;
  readonly name: string;
  readonly type: Type;
  readonly optional: boolean;
}

export interface CheckedArgument {
  readonly spec: ArgumentSpec;
  readonly name: string;
  readonly type: Type;
  /** Callers may leave it out, because it is optional or has a default. */
  readonly optional: boolean;
  readonly default?: Formula;
  readonly min?: Formula;
  readonly max?: Formula;
  readonly multipleOf?: Formula;
}

/** Where the value of a field comes from. */
export type FieldOrigin =
  /** Written in the specification and given by callers or actions. */
  | 'declared'
  /** The database gives it: the key `id` of a record with key auto or uuid. */
  | 'key'
  /** The field with the name of the record that this one is part of. */
  | 'parent'
  | 'tenant'
  | 'version'
  /** created_at, created_by, changed_at, changed_by */
  | 'timestamps'
  /** deleted_at of soft_delete. */
  | 'deleted';

export interface CheckedField {
  /** Absent for a field that a property of the record brings. */
  readonly spec?: FieldSpec;
  readonly name: string;
  readonly description: string;
  readonly type: Type;
  readonly optional: boolean;
  readonly origin: FieldOrigin;
  readonly default?: Formula;
  readonly min?: Formula;
  readonly max?: Formula;
  readonly multipleOf?: Formula;
  readonly computed?: Formula;
  readonly rollup?: CheckedRollup;
  readonly numbering?: { readonly per: readonly Formula[]; readonly gapless: boolean };
  readonly onDelete?: 'restrict' | 'cascade' | 'set_null';
  /** Whether `create` takes it, and `update`. */
  readonly givenAtCreate: boolean;
  readonly givenAtUpdate: boolean;
  /** The first state, where the record's `states` are about this field. */
  readonly isState: boolean;
}

export interface CheckedRollup {
  readonly function: 'sum' | 'count' | 'min' | 'max';
  readonly child: string;
  readonly value?: Formula;
  /** The reference field of the child. */
  readonly via: string;
  readonly when?: Formula;
}

export interface CheckedRecord {
  readonly spec: RecordSpec;
  readonly name: string;
  readonly fields: readonly CheckedField[];
  /** Names of the fields that identify a record in the whole domain: those of the parent first. */
  readonly key: readonly string[];
  readonly keyKind: 'auto' | 'uuid' | 'fields';
  /** The record that this one is part of. */
  readonly parent?: string;
  readonly unique: readonly CheckedUnique[];
  readonly rules: readonly CheckedRule[];
  readonly states?: {
    readonly field: string;
    readonly start: string;
    readonly moves: readonly { readonly from: string; readonly to: readonly string[] }[];
  };
  readonly noOverlap: readonly CheckedOverlap[];
  readonly expires?: {
    readonly when: Formula;
    readonly at: Formula;
    /** Absent: it counts as deleted. */
    readonly set?: readonly NamedFormula[];
  };
  readonly rowAccess?: { readonly read: Formula; readonly write: Formula };
  readonly immutableWhen?: Formula;
  readonly operations: readonly StandardOperation[];
  readonly indexes: readonly CheckedIndex[];
  /** Rollups of other records that a write of this one changes. */
  readonly feeds: readonly { readonly record: string; readonly field: string }[];
  /** Locks that create, update and delete take before they write, because actions decide by sets of this record. */
  readonly anchors: readonly Anchor[];
  /** Its place in the order in which all operations lock: smaller first. */
  readonly lockRank: number;
}

export interface StandardOperation {
  readonly kind: 'create' | 'update' | 'delete' | 'fetch' | 'list';
  /** What callers say. */
  readonly name: string;
}

export interface CheckedUnique {
  readonly name: string;
  readonly fields: readonly Formula[];
  readonly when?: Formula;
  readonly message?: Message;
}

export interface CheckedOverlap {
  readonly name: string;
  readonly per: readonly string[];
  readonly start: string;
  readonly end: string;
  readonly when?: Formula;
  readonly maxAtOnce?: Formula;
  readonly message?: Message;
}

/** An index beside the key and the unique ones: for a filter, an order, a reference or an expiry. */
export interface CheckedIndex {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly direction: Direction }[];
  /** What it is for, in words: "query open_orders". */
  readonly why: readonly string[];
}

/**
 * Why two at once cannot both pass a rule over a set: every writer of the set locks the same record first. `via` is the reference
 * field of the set's record that names the locked one; absent: the whole type of record is locked.
 */
export interface Anchor {
  readonly record: string;
  readonly via?: string;
  /** The fields that the sets look at: an update that changes none of them needs no lock. */
  readonly fields: readonly string[];
}

/* Queries and actions */

export interface CheckedSource {
  readonly record: string;
  readonly as: string;
}

export interface CheckedQuery {
  readonly spec: QuerySpec;
  readonly name: string;
  readonly args: readonly CheckedArgument[];
  readonly allowed?: Formula;
  readonly requires: readonly CheckedRule[];
  readonly from: CheckedSource;
  readonly joins: readonly (CheckedSource & { readonly on: Formula; readonly left: boolean })[];
  readonly where: readonly Formula[];
  readonly groupBy: readonly NamedFormula[];
  readonly columns: readonly NamedFormula[];
  readonly having?: Formula;
  readonly top?: { readonly count: Formula; readonly per: readonly string[]; readonly orderBy: readonly OrderItem[] };
  readonly orderBy: readonly OrderItem[];
  readonly limit?: Formula;
  readonly single: boolean;
  readonly paged: boolean;
}

export type ErrorClass = 'invalid' | 'conflict' | 'forbidden' | 'not_found';

export type CheckedStep = { readonly path: string } & (
  | { readonly op: 'check'; readonly rule: Formula; readonly message: Message; readonly error: ErrorClass }
  | {
      readonly op: 'read' | 'read_for_update';
      readonly record: string;
      readonly as: string;
      readonly where: Formula;
      readonly order: readonly OrderItem[];
      /** Absent: the row may be null. */
      readonly message?: Message;
      /** The generator's own: a lock that the checker added, so that a later rule over a set holds. */
      readonly added: boolean;
    }
  | { readonly op: 'let'; readonly values: readonly NamedFormula[] }
  | {
      readonly op: 'insert';
      readonly record: string;
      readonly as?: string;
      readonly set: readonly NamedFormula[];
      readonly onDuplicate?: 'skip' | 'update';
      readonly update: readonly NamedFormula[];
    }
  | { readonly op: 'update'; readonly row: string; readonly record: string; readonly set: readonly NamedFormula[] }
  | {
      readonly op: 'update_where';
      readonly record: string;
      readonly where: Formula;
      readonly set: readonly NamedFormula[];
    }
  | { readonly op: 'delete'; readonly row: string; readonly record: string }
  | { readonly op: 'delete_where'; readonly record: string; readonly where: Formula }
  | { readonly op: 'lock'; readonly record: string }
  | { readonly op: 'call'; readonly action: string; readonly arguments: readonly NamedFormula[]; readonly as?: string }
  | {
      readonly op: 'for_each_item';
      readonly list: Formula;
      readonly as: string;
      readonly max: number;
      readonly steps: readonly CheckedStep[];
    }
  | {
      readonly op: 'for_each_row';
      readonly record: string;
      readonly where?: Formula;
      readonly order: readonly OrderItem[];
      readonly as: string;
      readonly max: number;
      readonly steps: readonly CheckedStep[];
    }
  | {
      readonly op: 'if';
      readonly condition: Formula;
      readonly then: readonly CheckedStep[];
      readonly else: readonly CheckedStep[];
    }
);

/** A record that an action has added or changed, as its answer shows it: whole, and as it is at the end of the action. */
export interface AnsweredRecord {
  /** Its member of the answer: the name of the type, or of the row where the action writes several of the type. */
  readonly name: string;
  readonly record: string;
  /** The name of the row in the steps. */
  readonly row: string;
  /** Null where a choice or a duplicate has left it out. */
  readonly optional: boolean;
  readonly inserted: boolean;
}

export interface CheckedAction {
  readonly spec: ActionSpec;
  readonly name: string;
  readonly args: readonly CheckedArgument[];
  readonly allowed?: Formula;
  readonly steps: readonly CheckedStep[];
  readonly returns: readonly NamedFormula[];
  /** The records in its answer, beside what it returns. */
  readonly answers: readonly AnsweredRecord[];
  /** What it locks, in the order in which it must lock: see `CheckedRecord.lockRank`. */
  readonly locks: readonly string[];
  /** Types of record that it writes, those of rollups and numberings included. */
  readonly writes: readonly string[];
  /** What it does on MongoDB without transactions: it changes one document, or it is refused for this reason. */
  readonly withoutTransactions:
    { readonly kept: true; readonly document: string } | { readonly kept: false; readonly why: string };
}

export interface CheckedSpecification {
  readonly source: Specification;
  readonly domain: string;
  readonly records: readonly CheckedRecord[];
  readonly queries: readonly CheckedQuery[];
  readonly actions: readonly CheckedAction[];
  /** What MongoDB without transactions cannot keep, beside what actions say of themselves. Empty: it keeps all. */
  readonly withoutTransactions: readonly { readonly path: string; readonly why: string }[];
}

/** What is wrong with a specification: where, what, what is known there, and one example of right. */
export interface Problem {
  /** `records.place.fields.price.max`, with names where there are names. */
  readonly path: string;
  /** Stable word for the kind of problem: `unknown-name`. */
  readonly code: string;
  readonly message: string;
  /** What is known at that place. */
  readonly known?: readonly string[];
  /** One example of right. */
  readonly example?: string;
  /** advice: the document is accepted, but a reader may want another. */
  readonly severity: 'error' | 'advice';
}
