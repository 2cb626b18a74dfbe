import { Binary, type Collection, type Db, Decimal128, Double, Int32, Long, ObjectId, type Document } from 'mongodb';
import type { MongodbCollection, MongodbCollections, MongodbIndex, SeenKind, SeenValue } from '#sdk/generate';
import { dbaErrors } from '../errors/dba.js';
import { clientOf } from './mongodb.js';

const MOST_MS = 60_000;
const BATCH_DOCUMENTS = 100;
/** From so many names on they are data: `{ "2026-01-31": 3, "2026-02-01": 5 }`. */
const MOST_NAMES = 100;
const MOST_DISTINCT = 60;
const DISTINCT_CHARACTERS = 40;
const MOST_KEYS = 200;
const MOST_DEPTH = 8;

/**
 * What a sample of some collections holds: counts of types, and no value. Nothing is written, and a secondary is asked where there is one.
 * A name that is no collection is not among them. Throws BEDS_DBA_SERVER_UNAVAILABLE.
 */
export async function readCollections(
  adminUrl: string,
  { wanted, sample }: { readonly wanted: readonly string[]; readonly sample: number },
): Promise<MongodbCollections> {
  const client = clientOf(adminUrl);
  try {
    const db = client.db(undefined, { readPreference: 'secondaryPreferred' });
    const all = await db.listCollections().toArray();
    const real = all.filter(({ name, type }) => type !== 'view' && !name.startsWith('system.'));
    const known = real.map(({ name }) => name).toSorted();
    const samples: Sample[] = [];
    for (const name of wanted.filter((each) => known.includes(each)))
      samples.push(await sampleOf(db, { name, sample }));
    const collections: MongodbCollection[] = [];
    for (const each of samples) {
      const keysOf = await lookUp(each, { samples, db });
      const { options } = (real.find(({ name }) => name === each.name) ?? {}) as { readonly options?: Document };
      collections.push({
        ...{ name: each.name, documents: each.documents, sampled: each.sampled },
        value: each.seen.value(keysOf),
        indexes: await indexesOf(db.collection(each.name)),
        hasValidator: Object.keys((options?.['validator'] as Document | undefined) ?? {}).length > 0,
      });
    }
    return { collections, known };
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  } finally {
    await client.close().catch(() => undefined);
  }
}

interface Sample {
  readonly name: string;
  readonly documents: number;
  readonly sampled: number;
  readonly seen: Seen;
}

async function sampleOf(db: Db, { name, sample }: { readonly name: string; readonly sample: number }): Promise<Sample> {
  const collection = db.collection(name);
  const documents = await collection.estimatedDocumentCount({ maxTimeMS: MOST_MS });
  const seen = new Seen();
  // n.b. numbers keep their types: a whole number that is kept as a double is one.
  const options = { promoteValues: false, maxTimeMS: MOST_MS, batchSize: BATCH_DOCUMENTS };
  const cursor =
    documents <= sample
      ? collection.find({}, options).limit(sample)
      : collection.aggregate([{ $sample: { size: sample } }], options);
  let sampled = 0;
  for await (const document of cursor) {
    seen.see(document, 0);
    sampled += 1;
  }
  return { name, documents: Math.max(documents, sampled), sampled, seen };
}

/** Counts what is at one place. */
class Seen {
  readonly #kinds = new Map<string, number>();
  readonly fields = new Map<string, Seen>();
  /** What may be the key of another document. */
  readonly keys = new Map<string, unknown>();
  #distinct: Set<string> | undefined = new Set();
  #nulls = 0;
  #longest = 0;
  #digits: [number, number] = [0, 0];
  #most = 0;
  #isOpen = false;
  items: Seen | undefined;

  see(value: unknown, depth: number): void {
    if (value === null || value === undefined) {
      this.#nulls += 1;
      return;
    }
    const kind = kindOf(value);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    if (typeof value === 'string') this.#seeText(value);
    const number = numberText(value);
    if (number !== undefined) this.#seeDigits(number);
    if (['id', 'uuid', 'text', 'integer', 'whole'].includes(kind) && this.keys.size < MOST_KEYS)
      this.keys.set((value as { toString(): string }).toString(), value);
    if (depth >= MOST_DEPTH) return;
    if (Array.isArray(value)) {
      this.#most = Math.max(this.#most, value.length);
      this.items ??= new Seen();
      for (const item of value) this.items.see(item, depth + 1);
    } else if (kind === 'document') this.#seeDocument(value, depth);
  }

  #seeText(text: string): void {
    this.#longest = Math.max(this.#longest, Array.from(text).length);
    if (this.#distinct === undefined) return;
    this.#distinct.add(text);
    if (text.length > DISTINCT_CHARACTERS || this.#distinct.size > MOST_DISTINCT) this.#distinct = undefined;
  }

  #seeDigits(number: string): void {
    const [, before = '', after = ''] = /^-?(\d+)(?:\.(\d+))?$/.exec(number) ?? [];
    // What is written with an exponent has more digits than anything here allows.
    const [whole, fraction] = before === '' ? [99, 99] : [before.length, after.length];
    this.#digits = [Math.max(this.#digits[0], whole), Math.max(this.#digits[1], fraction)];
  }

  #seeDocument(document: object, depth: number): void {
    for (const [name, inner] of Object.entries(document)) {
      let field = this.fields.get(name);
      if (field === undefined && this.fields.size === MOST_NAMES) {
        this.#isOpen = true;
        continue;
      }
      if (field === undefined) this.fields.set(name, (field = new Seen()));
      field.see(inner, depth + 1);
    }
  }

  get kinds(): readonly string[] {
    return [...this.#kinds.keys()];
  }

  value(keysOf: ReadonlyMap<Seen, SeenValue['keysOf']>): SeenValue {
    return {
      ...{ kinds: this.#kinds, nulls: this.#nulls, longest: this.#longest, digits: this.#digits, most: this.#most },
      distinct: this.#distinct?.size,
      fields: new Map([...this.fields].map(([name, field]) => [name, field.value(keysOf)] as const)),
      isOpen: this.#isOpen,
      items: this.items?.value(keysOf),
      keysOf: keysOf.get(this) ?? [],
    };
  }
}

const TEXTS: readonly (readonly [SeenKind, RegExp])[] = [
  ['day', /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/],
  ['moment', /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})$/],
  ['clock', /^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?$/],
  ['uuid', /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i],
];

/** A kind that the language has a word for, or the name that MongoDB has for it. */
function kindOf(value: unknown): string {
  if (typeof value === 'string') return TEXTS.find(([, form]) => form.test(value))?.[0] ?? 'text';
  if (typeof value === 'boolean') return 'boolean';
  if (value instanceof Date) return 'date';
  if (Array.isArray(value)) return 'list';
  const number = numberKind(value);
  if (number !== undefined) return number;
  if (value instanceof ObjectId) return 'id';
  if (value instanceof Binary) return value.sub_type === Binary.SUBTYPE_UUID ? 'uuid' : 'binary';
  const named = (value as { readonly _bsontype?: unknown })._bsontype;
  if (typeof named === 'string') return named;
  if (value instanceof RegExp) return 'a regular expression';
  return isPoint(value) ? 'point' : 'document';
}

function numberKind(value: unknown): string | undefined {
  if (value instanceof Int32 || value instanceof Long || typeof value === 'bigint') return 'integer';
  if (value instanceof Double || typeof value === 'number') {
    const number = Number(value);
    if (!Number.isFinite(number)) return 'a double that is no number';
    return Number.isInteger(number) ? 'whole' : 'fraction';
  }
  if (value instanceof Decimal128)
    return /^-?\d+(?:\.\d+)?$/.test(value.toString()) ? 'decimal' : 'a decimal of many digits';
  return undefined;
}

/** https://www.mongodb.com/docs/manual/reference/geojson/#point */
function isPoint(value: unknown): boolean {
  const { type, coordinates, ...more } = value as Document;
  return type === 'Point' && Array.isArray(coordinates) && coordinates.length === 2 && Object.keys(more).length === 0;
}

function numberText(value: unknown): string | undefined {
  if (value instanceof Decimal128) return value.toString();
  return value instanceof Double ? String(value.valueOf()) : undefined;
}

/** Looks for what may be keys in the collections that they may be of: an ObjectId in all, anything else where its name says so. */
async function lookUp(
  { seen }: Sample,
  { samples, db }: { readonly samples: readonly Sample[]; readonly db: Db },
): Promise<ReadonlyMap<Seen, SeenValue['keysOf']>> {
  const found = new Map<Seen, SeenValue['keysOf']>();
  for (const [path, place] of placesIn(seen, '')) {
    const [kind, ...more] = place.kinds;
    if (path === '_id' || kind === undefined || more.length > 0 || place.keys.size === 0) continue;
    const keysOf: SeenValue['keysOf'][number][] = [];
    for (const { name, seen: other } of samples) {
      const isOfKind = other.fields.get('_id')?.kinds.includes(kind) === true;
      if (!isOfKind || (kind !== 'id' && !isNamedFor(path, name))) continue;
      const keys = [...place.keys.values()];
      const filter = { _id: { $in: keys } } as Document;
      const there = await db.collection(name).countDocuments(filter, { maxTimeMS: MOST_MS });
      keysOf.push({ collection: name, asked: keys.length, found: there });
    }
    found.set(place, keysOf);
  }
  return found;
}

function placesIn(seen: Seen, path: string): readonly (readonly [string, Seen])[] {
  const own = [...seen.fields].flatMap(([name, field]) => placesIn(field, path === '' ? name : `${path}.${name}`));
  return [[path, seen], ...own, ...(seen.items === undefined ? [] : placesIn(seen.items, path))];
}

/** `customerId`, `customer_id` or `customer` of `customers` */
function isNamedFor(path: string, collection: string): boolean {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const own = plain(path.split('.').at(-1) ?? '');
  const whole = plain(collection);
  const ways = [whole, whole.replace(/ies$/, 'y'), whole.replace(/es$/, ''), whole.replace(/s$/, '')];
  return ways.some((way) => [way, `${way}id`, `${way}ids`].includes(own));
}

async function indexesOf(collection: Collection): Promise<readonly MongodbIndex[]> {
  const indexes = await collection.listIndexes().toArray();
  return (indexes as readonly Document[]).flatMap((index) => {
    const { name, key, unique, sparse, partialFilterExpression, expireAfterSeconds } = index;
    if (name === '_id_') return [];
    return [
      {
        name: String(name),
        fields: Object.keys(key as object),
        isUnique: unique === true,
        isPartial: sparse === true || partialFilterExpression !== undefined,
        expiresAfterSeconds: expireAfterSeconds === undefined ? undefined : Number(expireAfterSeconds),
      },
    ];
  });
}
