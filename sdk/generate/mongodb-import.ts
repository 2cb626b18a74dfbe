import type { FieldSpec, RecordSpec, Specification } from '../spec/index.js';
import {
  type Draft,
  type ImportedDomain,
  type ImportNote,
  ImportNotes,
  MOST_CHARACTERS,
  MOST_FIELDS,
  type Mutable,
  nameFor,
  oneLine,
  reasonOf,
  repairImported,
  TAKEN,
  Unsaid,
} from './imported-domain.js';

/** A specification of collections that are there already, as far as a sample shows what is in them. */

/** What kinds of value there are, and how they are called. */
const SEEN_KINDS = {
  text: 'text',
  day: 'a day as text',
  moment: 'a moment as text',
  clock: 'a time of day as text',
  uuid: 'a UUID',
  boolean: 'boolean',
  integer: 'whole number',
  whole: 'whole number kept as a double',
  fraction: 'number with a fraction',
  decimal: 'decimal',
  date: 'date',
  id: 'ObjectId',
  point: 'place',
  document: 'document',
  list: 'list',
} as const;
export type SeenKind = keyof typeof SEEN_KINDS;

/** What was seen of the values at one place: counts, and none of the values. */
export interface SeenValue {
  /** How often each kind was there, null left out. What has no name in `SEEN_KINDS` is called as MongoDB calls it. */
  readonly kinds: ReadonlyMap<string, number>;
  readonly nulls: number;
  /** Most characters of a text. */
  readonly longest: number;
  /** Most digits of a number before and after its point. */
  readonly digits: readonly [number, number];
  /** Most items of a list. */
  readonly most: number;
  /** How many different texts there were, while they are few and short. */
  readonly distinct: number | undefined;
  readonly fields: ReadonlyMap<string, SeenValue>;
  /** Its documents have so many names that the names are data. */
  readonly isOpen: boolean;
  readonly items: SeenValue | undefined;
  /** How many of some values were keys of another collection. */
  readonly keysOf: readonly { readonly collection: string; readonly asked: number; readonly found: number }[];
}

export interface MongodbCollection {
  readonly name: string;
  /** About so many there are. */
  readonly documents: number;
  readonly sampled: number;
  readonly value: SeenValue;
  readonly indexes: readonly MongodbIndex[];
  readonly hasValidator: boolean;
}

export interface MongodbIndex {
  readonly name: string;
  readonly fields: readonly string[];
  readonly isUnique: boolean;
  /** Only some documents are in it. */
  readonly isPartial: boolean;
  readonly expiresAfterSeconds: number | undefined;
}

export interface MongodbCollections {
  readonly collections: readonly MongodbCollection[];
  /** Names of all collections of the database. */
  readonly known: readonly string[];
}

export interface ImportedCollections extends ImportedDomain {
  /** What was seen of each field, with shares. */
  readonly seen: readonly ImportNote[];
}

const MOST_DEPTH = 4;
const MOST_COLUMNS = 30;
const MOST_ITEMS = 1000;
const MOST_UNIQUE = 19;
const DEFAULT_CHARACTERS = 200;
/** Money with cents, as far as was seen. */
const MONEY = { type: 'decimal', precision: 12, scale: 2 } as const;

/** Throws a TypeError where the collections make no specification: its message says why. */
export function specificationOfCollections(request: {
  readonly domain: string;
  readonly store: string;
  readonly collections: MongodbCollections;
}): ImportedCollections {
  const { domain, store, collections } = request;
  const notes = new ImportNotes();
  const seen: ImportNote[] = [];
  const names = new Map<string, string>();
  const prefix = `${domain.replaceAll('-', '_')}_`;
  for (const { name } of collections.collections) {
    const own = name.startsWith(prefix) && name.length > prefix.length ? name.slice(prefix.length) : name;
    names.set(name, nameFor(own, [...TAKEN, ...names.values()]));
  }
  const records = collections.collections.map((collection) =>
    new CollectionImport(collection, { notes, seen, names }).record(),
  );
  const specification: Mutable<Specification> = {
    beds: 1,
    domain,
    description: `What the collections ${oneLine([...names.keys()].join(', '), 440)} hold.`,
    store,
    zone: 'UTC',
    records,
    assumptions: [
      'Imported from collections that stay as they are: the domain has collections of its own beside them, and no document is copied.',
      ...collections.collections.map(sampleText),
      'Every record may be created, updated and deleted: what the collections hold does not say who may do what.',
    ],
    questions: [],
  };
  repairImported(specification, records, notes);
  return { specification, ...notes.all, seen };
}

function sampleText({ name, sampled, documents }: MongodbCollection): string {
  const shown = oneLine(name, 200);
  if (sampled >= documents) return `Of ${shown} all ${count(sampled)} documents were read.`;
  return `Of ${shown} ${count(sampled)} of about ${count(documents)} documents were read: what others hold is not known.`;
}

function count(number: number): string {
  return number.toLocaleString('en');
}

interface Around {
  readonly notes: ImportNotes;
  readonly seen: ImportNote[];
  /** Names of the records, by those of the collections. */
  readonly names: ReadonlyMap<string, string>;
}

class CollectionImport {
  readonly #collection: MongodbCollection;
  readonly #around: Around;
  /** Fields by their place in a document: `address.city`. */
  readonly #fields = new Map<string, FieldSpec>();
  readonly #taken: string[] = [...TAKEN, 'id'];

  constructor(collection: MongodbCollection, around: Around) {
    this.#collection = collection;
    this.#around = around;
  }

  record(): Draft {
    const { name: original, value } = this.#collection;
    const { notes, names } = this.#around;
    const name = names.get(original) ?? original;
    const { key, unique: keyFields } = this.#key(value.fields.get('_id'));
    for (const [field, seen] of value.fields) if (field !== '_id') this.#addField(field, seen, 1);
    const fields = [...this.#fields.values()];
    if (fields.length === 0) throw new TypeError(`Nothing of the collection ${original} can be said but its key.`);
    const unique = [...keyFields, ...this.#unique()].slice(0, MOST_UNIQUE);
    const expires = this.#expires();
    if (this.#collection.hasValidator)
      notes.leaveOut(`the validator of ${original}`, 'what the documents hold was read, and not what they must hold');
    return {
      name,
      description: `A document of ${oneLine(original)}`,
      ...(name === original ? {} : { was: oneLine(original, 64) }),
      key,
      fields,
      ...(unique.length === 0 ? {} : { unique }),
      ...(expires === undefined ? {} : { expires }),
      operations: ['create', 'update', 'delete'],
    };
  }

  #at(path: string): string {
    return `${this.#collection.name}.${path}`;
  }

  #key(seen: SeenValue | undefined): {
    readonly key: Draft['key'];
    readonly unique: NonNullable<RecordSpec['unique']>;
  } {
    const { notes } = this.#around;
    const kinds = [...(seen?.kinds.keys() ?? [])];
    const at = this.#at('_id');
    const [kind] = kinds;
    if (seen === undefined || kinds.length !== 1 || kind === undefined) {
      notes.change(
        at,
        `${seen === undefined ? 'it was not seen' : kindsText(seen)}: records are numbered, in a field id`,
      );
      return { key: 'auto', unique: [] };
    }
    if (kind === 'id' || kind === 'uuid') {
      if (kind === 'id') notes.change(at, 'an ObjectId: records get a random id of 36 characters, in a field id');
      return { key: 'uuid', unique: [] };
    }
    if (kind === 'integer' || kind === 'whole') {
      notes.change(at, 'a whole number: records are numbered, in a field id');
      return { key: 'auto', unique: [] };
    }
    if (kind === 'document') {
      for (const [field, inner] of seen.fields) this.#addField(`_id.${field}`, inner, 2);
      notes.change(at, 'a document: records are numbered, in a field id, and what it holds is unique');
      const fields = [...this.#fields.values()].map(({ name }) => name);
      return { key: 'auto', unique: fields.length === 0 ? [] : [{ fields }] };
    }
    try {
      const typed = this.#typeOf(seen, '_id');
      const name = nameFor('key', this.#taken);
      this.#taken.push(name);
      const base = { name, description: `The _id of ${oneLine(this.#collection.name)}`, was: '_id' };
      this.#fields.set('_id', { ...base, ...typed } as FieldSpec);
      return { key: [name], unique: [] };
    } catch (error) {
      notes.change(at, `${reasonOf(error)}: records are numbered, in a field id`);
      return { key: 'auto', unique: [] };
    }
  }

  /** A field; or those of a document, each of its own. */
  #addField(path: string, seen: SeenValue, depth: number): void {
    const { notes } = this.#around;
    const at = this.#at(path);
    const isDocument = seen.kinds.size === 1 && seen.kinds.has('document');
    const isNested = isDocument && !seen.isOpen && seen.fields.size > 0 && depth < MOST_DEPTH;
    this.#around.seen.push({ name: oneLine(at, 200), reason: this.#sharesText(seen) });
    if (isNested) {
      notes.change(at, 'what a document inside of another holds are fields of their own');
      for (const [name, inner] of seen.fields) this.#addField(`${path}.${name}`, inner, depth + 1);
      return;
    }
    try {
      if (this.#fields.size === MOST_FIELDS) throw new Unsaid(`a record has at most ${MOST_FIELDS} fields`);
      if (seen.kinds.size === 0) throw new Unsaid('it is null in all documents: nothing says what it is');
      const typed = this.#typeOf(seen, path);
      const name = nameFor(path.replace(/^_id\./, '').replaceAll('.', '_'), this.#taken);
      this.#taken.push(name);
      const isAlways = sumOf(seen) === this.#collection.sampled;
      this.#fields.set(path, {
        ...{ name, description: `The field ${oneLine(path, 200)} of ${oneLine(this.#collection.name)}` },
        ...(name === path ? {} : { was: oneLine(path, 64) }),
        ...(isAlways ? {} : { optional: true }),
        ...typed,
      } as FieldSpec);
    } catch (error) {
      notes.leaveOut(at, reasonOf(error));
    }
  }

  /** What it is, where it is one thing. Throws `Unsaid`. */
  #typeOf(seen: SeenValue, path: string): object {
    const at = this.#at(path);
    const kind = this.#oneKind(seen, at);
    const { notes, names } = this.#around;
    const named = seen.keysOf.find(({ asked, found }) => asked > 0 && found === asked);
    if (named !== undefined) {
      notes.change(at, `all ${count(named.asked)} that were looked for are keys of ${named.collection}: a reference`);
      return { type: 'reference', references: names.get(named.collection) ?? '' };
    }
    for (const { collection, asked, found } of seen.keysOf.filter((one) => one.found > 0))
      notes.change(at, `${count(asked - found)} of ${count(asked)} name nothing in ${collection}: no reference`);
    switch (kind) {
      case 'text':
        if (seen.distinct !== undefined && seen.distinct * 10 <= sumOf(seen))
          notes.change(at, `has ${count(seen.distinct)} different texts: an enum, if there are no others`);
        return textOf(seen.longest);
      case 'day':
        notes.change(at, 'days are kept as text there');
        return { type: 'date' };
      case 'moment':
        notes.change(at, 'moments are kept as text there');
        return { type: 'timestamp' };
      case 'clock':
        notes.change(at, 'a time of day has hours and minutes, and no seconds');
        return { type: 'time' };
      case 'uuid':
        return { type: 'text', max_length: 36 };
      case 'id':
        notes.change(at, 'an ObjectId that names nothing of these collections: 24 characters');
        return { type: 'text', max_length: 24 };
      case 'boolean':
        return { type: 'boolean' };
      case 'integer':
        return { type: 'integer' };
      case 'whole':
        notes.change(at, 'whole numbers are kept as doubles there');
        return { type: 'integer' };
      case 'fraction':
        return this.#number(seen, path);
      case 'decimal':
        return decimalOf(seen.digits);
      case 'date':
        return { type: 'timestamp' };
      case 'point':
        return { type: 'point' };
      case 'document':
        notes.change(at, seen.isOpen ? 'its documents differ in their names: it is free data' : 'it is free data');
        return { type: 'json' };
      case 'list':
        return this.#list(seen, path);
      default:
        throw new Unsaid(`the language has no word for ${oneLine(kind, 60)}`);
    }
  }

  /** The one kind of all values. Numbers are one kind, and so are texts. */
  #oneKind(seen: SeenValue, at: string): string {
    const kinds = [...seen.kinds.keys()];
    const [first = ''] = kinds;
    if (kinds.length === 1) return first;
    const isOf = (...all: readonly SeenKind[]): boolean => kinds.every((kind) => all.some((one) => one === kind));
    const { notes } = this.#around;
    if (isOf('text', 'day', 'moment', 'clock', 'uuid')) {
      notes.change(at, `${kindsText(seen)}: a text`);
      return 'text';
    }
    if (isOf('integer', 'whole')) return 'whole';
    if (isOf('integer', 'whole', 'fraction')) return 'fraction';
    if (isOf('integer', 'decimal')) {
      notes.change(at, `${kindsText(seen)}: a decimal`);
      return 'decimal';
    }
    throw new Unsaid(`it is not of one type: ${kindsText(seen)}`);
  }

  /** n.b. what is called as money is, and has cents at most, is money: a float would lose them. */
  #number({ digits: [, after] }: SeenValue, path: string): object {
    if (after > MONEY.scale || !/(?:^|[_.])(?:price|amount|total|balance|cost|fee|sum)$/i.test(path))
      return { type: 'float' };
    this.#around.notes.change(this.#at(path), 'money is kept as doubles there: a decimal loses no cents');
    return MONEY;
  }

  #list(seen: SeenValue, path: string): object {
    const at = this.#at(path);
    const { items } = seen;
    const { notes } = this.#around;
    if (items === undefined || items.kinds.size === 0) throw new Unsaid('it has no items: nothing says what they are');
    if (seen.most > MOST_ITEMS)
      throw new Unsaid(
        `a list has at most ${count(MOST_ITEMS)} items, and one has ${count(seen.most)}: they are records of their own`,
      );
    if (items.nulls > 0) notes.change(at, `${count(items.nulls)} items are null: a list has no null in it`);
    const maxItems = [10, 100, MOST_ITEMS].find((most) => most >= seen.most) ?? MOST_ITEMS;
    if (items.kinds.size === 1 && items.kinds.has('document') && !items.isOpen) {
      const columns = this.#columns(items, path);
      if (columns.length > 0) return { type: 'list', columns, max_items: maxItems };
    }
    const typed = this.#typeOf(items, path) as { readonly type: string };
    if (['text', 'integer', 'decimal', 'date', 'reference'].includes(typed.type))
      return { ...typed, max_items: maxItems };
    notes.change(at, `a list of this is free data: ${kindsText(items)}`);
    return { type: 'json' };
  }

  /** The columns of a list of documents. What is no single value in them is free data. */
  #columns(items: SeenValue, path: string): readonly object[] {
    const { notes } = this.#around;
    const all = items.kinds.get('document') ?? 0;
    const taken: string[] = [...TAKEN];
    const columns: object[] = [];
    for (const [original, seen] of items.fields) {
      const at = this.#at(`${path}.${original}`);
      this.#around.seen.push({ name: oneLine(at, 200), reason: sharesOf(seen, all, 'items') });
      try {
        if (columns.length === MOST_COLUMNS) throw new Unsaid(`an item has at most ${MOST_COLUMNS} columns`);
        if (seen.kinds.size === 0) throw new Unsaid('it is null in all items: nothing says what it is');
        const isPlain = !seen.kinds.has('list') && !seen.kinds.has('document');
        if (!isPlain) notes.change(at, `inside of a list it is free data: ${kindsText(seen)}`);
        const typed = isPlain ? this.#typeOf(seen, `${path}.${original}`) : { type: 'json' };
        const name = nameFor(original, taken);
        taken.push(name);
        if (name !== original) notes.change(at, `is called ${name}`);
        const description = `The field ${oneLine(original, 200)} of an item`;
        columns.push({ name, description, ...(sumOf(seen) < all ? { optional: true } : {}), ...typed });
      } catch (error) {
        notes.leaveOut(at, reasonOf(error));
      }
    }
    return columns;
  }

  #unique(): NonNullable<RecordSpec['unique']> {
    const { notes } = this.#around;
    const { indexes } = this.#collection;
    const plain = indexes.filter(({ isUnique, expiresAfterSeconds }) => !isUnique && expiresAfterSeconds === undefined);
    if (plain.length > 0)
      notes.leaveOut(
        `indexes of ${this.#collection.name}: ${plain.map(({ name }) => name).join(', ')}`,
        'indexes are made from what operations filter and order by',
      );
    return indexes.flatMap(({ name, fields, isUnique, isPartial }) => {
      if (!isUnique) return [];
      const found = fields.flatMap((path) => this.#fields.get(path) ?? []);
      if (found.length < fields.length) {
        notes.leaveOut(
          this.#at(name),
          `it is unique over ${fields.join(', ')}, of which something is left out or in a list`,
        );
        return [];
      }
      const absent = found.filter(({ optional }) => optional === true).map((field) => `${field.name} is not null`);
      if (isPartial || absent.length > 0) notes.change(this.#at(name), 'unique where all its fields are there');
      return [
        { fields: found.map((field) => field.name), ...(absent.length === 0 ? {} : { when: absent.join(' and ') }) },
      ];
    });
  }

  /** What MongoDB deletes by itself. */
  #expires(): RecordSpec['expires'] {
    const [first, ...more] = this.#collection.indexes.filter(
      ({ expiresAfterSeconds }) => expiresAfterSeconds !== undefined,
    );
    for (const { name } of more) this.#around.notes.leaveOut(this.#at(name), 'a record ends in one way');
    if (first === undefined) return undefined;
    const field = this.#fields.get(first.fields[0] ?? '');
    const seconds = first.expiresAfterSeconds ?? 0;
    if (field?.type !== 'timestamp' || !Number.isSafeInteger(seconds)) {
      this.#around.notes.leaveOut(this.#at(first.name), 'documents end by what is no moment of each');
      return undefined;
    }
    return {
      when: field.optional === true ? `${field.name} is not null` : 'true',
      at: seconds === 0 ? field.name : `${field.name} + ${String(seconds)} s`,
      delete: true,
    };
  }

  #sharesText(seen: SeenValue): string {
    return sharesOf(seen, this.#collection.sampled, 'documents');
  }
}

function sumOf({ kinds }: SeenValue): number {
  return [...kinds.values()].reduce((sum, number) => sum + number, 0);
}

function wordOf(kind: string): string {
  return Object.hasOwn(SEEN_KINDS, kind) ? SEEN_KINDS[kind as SeenKind] : kind;
}

/** Kinds in words. */
function oftenFirst(kinds: SeenValue['kinds']): readonly (readonly [string, number])[] {
  return [...kinds]
    .map(([kind, number]) => [wordOf(kind), number] as const)
    .toSorted(([one, a], [other, b]) => b - a || (one < other ? -1 : 1));
}

/** `text in 812, whole number in 3` */
function kindsText({ kinds }: SeenValue): string {
  return oftenFirst(kinds)
    .map(([word, number]) => `${word} in ${count(number)}`)
    .join(', ');
}

/** `text in 81.2 %, null in 1 %, absent in 17.8 % of 1,000 documents` */
function sharesOf(seen: SeenValue, all: number, of: string): string {
  const absent = all - sumOf(seen) - seen.nulls;
  const share = (number: number): string => `${String(Math.round((number * 1000) / Math.max(all, 1)) / 10)} %`;
  const parts = [
    ...oftenFirst(seen.kinds),
    ...(seen.nulls > 0 ? [['null', seen.nulls] as const] : []),
    ...(absent > 0 ? [['absent', absent] as const] : []),
  ];
  return `${parts.map(([word, number]) => `${word} in ${share(number)}`).join(', ')} of ${count(all)} ${of}`;
}

function textOf(longest: number): object {
  if (longest <= DEFAULT_CHARACTERS) return { type: 'text' };
  const most = [1000, 10_000, MOST_CHARACTERS].find((each) => each >= longest);
  if (most === undefined)
    throw new Unsaid(`a text has at most ${count(MOST_CHARACTERS)} characters, and one has ${count(longest)}`);
  return { type: 'text', max_length: most };
}

function decimalOf([before, after]: readonly [number, number]): object {
  const scale = after;
  const precision = Math.max(12, before + after);
  if (precision > 30 || scale > 10) throw new Unsaid('a decimal has at most 30 digits, 10 of them after the point');
  return { type: 'decimal', precision, scale };
}
