import { hostname, userInfo } from 'node:os';
import { randomBytes } from 'node:crypto';
import { BSON, type Db, type Document, type IndexDescription, type MongoClient, MongoServerError } from 'mongodb';
import type { ChangePhase, ChangePlan, CountedRows } from '#sdk/cli';
import type { DocumentHurdle, MongodbChange } from '#sdk/generate';
import type * as makers from '#sdk/generate';
import { type BesideRecord, type CheckedSpecification, documentLayout, type DocumentLayout } from '#sdk/spec';
import { dbaErrors } from '../errors/dba.js';
import { APPLIED, CATALOGUE } from '../stores/mongodb/body.js';
import { settleDocuments, type Settling } from '../stores/mongodb/operations.js';
import {
  type ApplyChange,
  type ChangeStep as AnyStep,
  type Compared,
  differing,
  DomainChanges,
  type DomainRecord as AnyRecord,
  type KeptStep,
  type Prepared,
  revisionOf,
} from './change-domain.js';
import type { DomainObjects } from './contract.js';
import { clientOf, indexText, type MongodbObject, parseObjectFile, putObject } from './mongodb.js';
import { type Holder, holderNow, isGone, RENEW_MS } from './mongodb-holder.js';

/**
 * Changes of a domain of MongoDB. What is kept of them is one document of `beds_domain`, steps and all: so the phase and its steps change at
 * once, also where there are no transactions. Each step can be carried out again.
 */

const DOMAINS = 'beds_domain';
const LOCKS = 'beds_change_lock';
const LOCK_WAIT_MS = 5_000;
const LOCK_POLL_MS = 200;
const BATCH_DOCUMENTS = 500;
const MOST_TRIES = 20;
/** Hosts look at the catalogue every `rollout.schemaCheckMs`, which is 5 s: three times. */
const LOOKED_MS = 15_000;
const INDEX_NOT_FOUND = 27;
const NAMESPACE_NOT_FOUND = 26;

/** As text, which is compared. */
interface CollectionStructure {
  readonly indexes: Readonly<Record<string, string>>;
  /** `''` where the server keeps none. */
  readonly validator: string;
}

export interface MongodbStructure {
  readonly collections: Readonly<Record<string, CollectionStructure>>;
  /** Entries of the catalogue. */
  readonly entries: Readonly<Record<string, string>>;
}

/** n.b. kept as Extended JSON in a text: names of fields begin with $. */
export type MongodbRun =
  | { readonly kind: 'objects'; readonly objects: readonly MongodbObject[] }
  | { readonly kind: 'validator'; readonly collection: string; readonly options: Document }
  | { readonly kind: 'index'; readonly collection: string; readonly index: IndexDescription }
  | { readonly kind: 'drop-index'; readonly collection: string; readonly name: string }
  | { readonly kind: 'drop-collection'; readonly collection: string }
  | { readonly kind: 'drop-entries'; readonly names: readonly string[] }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'settle'; readonly collection: string; readonly settling: Settling };

type ChangeStep = AnyStep<MongodbRun>;
type DomainRecord = AnyRecord<MongodbStructure>;

interface StoredStep {
  readonly step: string;
  readonly state: KeptStep<MongodbRun>['state'];
  readonly position: string | null;
  readonly rows: number;
}

interface StoredDomain {
  readonly _id: string;
  readonly revision: number;
  readonly specification: string;
  readonly structure: string;
  readonly phase: ChangePhase;
  readonly next: { readonly revision: number; readonly specification: string; readonly structure: string } | null;
  readonly steps: readonly StoredStep[];
  readonly changedAt: Date;
  readonly changedBy: string;
}

export async function openMongodbChanges(
  adminUrl: string,
  store: string,
): Promise<DomainChanges<MongodbStructure, MongodbRun>> {
  const client = clientOf(adminUrl);
  try {
    await client.db().command({ ping: 1 });
    return new MongodbChanges(client, store);
  } catch (cause) {
    await client.close().catch(() => undefined);
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

class MongodbChanges extends DomainChanges<MongodbStructure, MongodbRun> {
  protected readonly empty = EMPTY;
  readonly #client: MongoClient;
  readonly #db: Db;

  constructor(client: MongoClient, store: string) {
    super(store);
    this.#client = client;
    this.#db = client.db();
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /* What is kept */

  protected async record(domain: string): Promise<DomainRecord | undefined> {
    const found = await this.#db.collection<StoredDomain>(DOMAINS).findOne({ _id: domain });
    if (found === null) return undefined;
    const { revision, specification, structure, phase, next } = found;
    return {
      ...{ revision, specification, phase, structure: JSON.parse(structure) as MongodbStructure },
      nextRevision: next?.revision,
      nextSpecification: next?.specification,
      nextStructure: next === null ? undefined : (JSON.parse(next.structure) as MongodbStructure),
    };
  }

  protected async recorded(): Promise<readonly string[]> {
    const all = await this.#db
      .collection<StoredDomain>(DOMAINS)
      .find({}, { projection: { _id: 1 } })
      .toArray();
    return all.map(({ _id }) => _id).toSorted();
  }

  protected async write(
    domain: string,
    {
      revision,
      specification,
      structure,
    }: { readonly revision: number; readonly specification: string; readonly structure: MongodbStructure },
  ): Promise<void> {
    const made = { revision, specification, structure: JSON.stringify(structure), phase: 'live', next: null } as const;
    await this.#db
      .collection<StoredDomain>(DOMAINS)
      .replaceOne({ _id: domain }, { ...made, steps: [], ...stamp() }, { upsert: true });
  }

  protected async begin(
    domain: string,
    { phase, steps, next }: Parameters<DomainChanges<MongodbStructure, MongodbRun>['begin']>[1],
  ): Promise<void> {
    const stored = steps.map((step): StoredStep => ({
      step: BSON.EJSON.stringify(step),
      state: 'open',
      position: null,
      rows: 0,
    }));
    const set = {
      ...{ phase, steps: stored, ...stamp() },
      ...(next === undefined
        ? {}
        : {
            next: {
              ...{ revision: next.revision, specification: next.specification },
              structure: JSON.stringify(next.after),
            },
          }),
    };
    await this.#db.collection<StoredDomain>(DOMAINS).updateOne({ _id: domain }, { $set: set });
  }

  protected async steps(domain: string): Promise<readonly KeptStep<MongodbRun>[]> {
    const found = await this.#db.collection<StoredDomain>(DOMAINS).findOne({ _id: domain });
    return (found?.steps ?? []).map(({ step, state, position, rows }, index) => ({
      ...{ number: index + 1, state, position, rows },
      step: BSON.EJSON.parse(step) as ChangeStep,
    }));
  }

  protected async mark(domain: string, number: number, state: 'running' | 'done'): Promise<void> {
    await this.#note(domain, number, { state });
  }

  async #note(domain: string, number: number, noted: Partial<StoredStep>): Promise<void> {
    const set = Object.entries(noted).map(([name, value]) => [`steps.${String(number - 1)}.${name}`, value] as const);
    await this.#db.collection(DOMAINS).updateOne({ _id: domain } as Document, { $set: Object.fromEntries(set) });
  }

  protected async expanded(domain: string, record: DomainRecord): Promise<void> {
    await this.#grantNew(record);
    const set = { phase: 'expanded', ...stamp() } as const;
    await this.#db.collection<StoredDomain>(DOMAINS).updateOne({ _id: domain }, { $set: set });
  }

  /** Whoever may write documents of the domain may write those of its new collections: other hosts have roles of their own. */
  async #grantNew({ structure, nextStructure = EMPTY }: DomainRecord): Promise<void> {
    const known = Object.keys(structure.collections);
    const fresh = Object.keys(nextStructure.collections).filter((name) => !known.includes(name));
    if (fresh.length === 0) return;
    const found = await this.#db.command({ rolesInfo: 1, showPrivileges: true }).catch((): Document => ({ roles: [] }));
    for (const { role, privileges = [] } of (found['roles'] ?? []) as readonly Role[]) {
      const [own] = privileges.filter(({ resource: { collection } }) => known.includes(String(collection)));
      if (own === undefined) continue;
      const given = fresh.map((collection) => ({
        resource: { db: this.#db.databaseName, collection },
        actions: own.actions,
      }));
      await this.#db.command({ grantPrivilegesToRole: role, privileges: given });
    }
  }

  protected async recordFiles({ files }: DomainObjects): Promise<void> {
    const applied = this.#db.collection<Document & { readonly _id: string }>(APPLIED);
    for (const { name, sha256 } of files)
      await applied.replaceOne({ _id: name }, { sha256, appliedAt: new Date() }, { upsert: true });
  }

  protected async appliedFiles(): Promise<ReadonlyMap<string, string>> {
    const all = await this.#db.collection(APPLIED).find().toArray();
    return new Map(all.map(({ _id, sha256 }) => [String(_id), String(sha256)]));
  }

  /** n.b. a MongoDB has no locks that end with their holder: whether he is still there is seen. */
  protected async alone<T>(domain: string, work: () => Promise<T>): Promise<T> {
    const locks = this.#db.collection<Holder & { readonly _id: string; readonly token: string }>(LOCKS);
    const token = randomBytes(12).toString('hex');
    const own = (): Omit<Holder & { readonly token: string }, '_id'> => ({ ...holderNow(), token });
    const endsAt = Date.now() + LOCK_WAIT_MS;
    for (;;) {
      const holder = await locks.findOne({ _id: domain });
      if (holder === null) {
        const isMine = await locks.insertOne({ _id: domain, ...own() }).then(
          () => true,
          () => false,
        );
        if (isMine) break;
      } else if (isGone(holder)) {
        const { matchedCount } = await locks.replaceOne({ _id: domain, token: holder.token }, own());
        if (matchedCount === 1) break;
      } else if (Date.now() > endsAt) {
        const who = `process ${String(holder.process?.pid ?? 0)} on ${holder.computer}`;
        throw dbaErrors.make('BEDS_DBA_CHANGE_BUSY', `${who} changes ${domain} at this moment.`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
    const renewing = setInterval(() => void locks.replaceOne({ _id: domain, token }, own()).catch(() => 0), RENEW_MS);
    try {
      return await work();
    } finally {
      clearInterval(renewing);
      await locks.deleteOne({ _id: domain, token }).catch(() => undefined);
    }
  }

  protected async refuseStrangers({ domain, files }: DomainObjects, text: string): Promise<void> {
    const own = namesOf(objectsOf(files));
    const others = await this.#db
      .collection<StoredDomain>(DOMAINS)
      .find({ _id: { $ne: domain } })
      .toArray();
    for (const { _id: other, structure, next } of others) {
      const texts = [structure, ...(next === null ? [] : [next.structure])];
      const [taken] = texts.flatMap((each) => sharedNames(own, JSON.parse(each) as MongodbStructure));
      if (taken === undefined) continue;
      const message = `${domain} would replace ${taken}, which belongs to ${other}. One of the two needs another name, or a store of its own.`;
      throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', message);
    }
    // n.b. from before there was a record: the rules say what it was made from.
    const [rules] = objectsOf(files).flatMap((object) =>
      object.type === 'entry' && object.entry['kind'] === 'rules' ? [object.entry._id] : [],
    );
    const entry = await this.#db.collection(CATALOGUE).findOne({ _id: rules } as Document);
    if (entry !== null && JSON.stringify(entry['body']) !== JSON.stringify(JSON.parse(text)))
      throw dbaErrors.make(
        'BEDS_DBA_CHANGE_STATE',
        `The collections of ${domain} were made from another document, which is not recorded.`,
      );
  }

  protected async structureOfFiles(
    { files }: DomainObjects,
    recorded: MongodbStructure | undefined,
  ): Promise<MongodbStructure> {
    const real = await this.structureNow(namesOf(objectsOf(files)));
    return recorded === undefined ? real : { ...real, collections: { ...real.collections, ...recorded.collections } };
  }

  protected async structureNow({ collections, entries }: MongodbStructure): Promise<MongodbStructure> {
    const listed = await this.#db.listCollections().toArray();
    const found: Record<string, CollectionStructure> = {};
    for (const one of listed as readonly (Document & { readonly name: string })[]) {
      if (collections[one.name] === undefined) continue;
      const { validator } = (one['options'] ?? {}) as { readonly validator?: Document };
      const indexes = await this.#db.collection(one.name).indexes();
      found[one.name] = {
        indexes: Object.fromEntries(
          indexes.filter(({ name }) => name !== '_id_').map((index) => [String(index.name), indexText(index)]),
        ),
        validator: validator === undefined ? '' : BSON.EJSON.stringify(validator),
      };
    }
    const known = this.#db.collection<{ readonly _id: string }>(CATALOGUE).find({ _id: { $in: Object.keys(entries) } });
    const texts = (await known.toArray()).map(({ _id, ...entry }) => [_id, BSON.EJSON.stringify(entry)] as const);
    return { collections: found, entries: Object.fromEntries(texts) };
  }

  protected async differences(made: MongodbStructure, isMeanwhile: boolean): Promise<readonly string[]> {
    const real = await this.structureNow(made);
    const ofEntries = differing('entry', made.entries, real.entries);
    if (isMeanwhile) return ofEntries;
    const ofCollections = Object.entries(made.collections).flatMap(([name, was]) => {
      const is = real.collections[name];
      if (is === undefined) return [`collection ${name} is gone`];
      const validators = was.validator === is.validator ? [] : [`validator of ${name} is another`];
      return [...differing(`index of ${name},`, was.indexes, is.indexes), ...validators];
    });
    return [...ofCollections, ...ofEntries];
  }

  /* Planning */

  protected made(
    generator: typeof makers,
    checked: CheckedSpecification,
  ): Readonly<Record<string, string>> | undefined {
    return generator.generateMongodb(checked).files;
  }

  protected async compare({
    domain,
    before,
    checked,
    record,
    text,
    drift,
    generator,
  }: Compared<MongodbStructure>): Promise<Prepared<MongodbStructure, MongodbRun>> {
    const objects = objectsOf(domain.files);
    const planned = generator.changeMongodb(before, checked, { now: new Date() });
    // n.b. what stands for what is absent was computed when both began to work.
    const change = record.phase === 'expanded' ? { ...planned, beside: await this.#besideNow(objects) } : planned;
    const named = namesOf(objects);
    const real = await this.structureNow(union(named, record.structure));
    const refused = change.refused.map(({ path, construct }) => `${path}: ${construct}`);
    if (record.phase === 'live')
      refused.push(
        ...sharedNames(named, real)
          .filter((name) => !isIn(record.structure, name))
          .map((name) => `${name} is there already, and is not of this domain`),
      );
    const isExpanded = record.phase === 'expanded';
    const planning = new Planning({ before, after: checked, change, objects, real, record, generator });
    const counts = await this.#count(planning);
    const sized = async (steps: readonly ChangeStep[]): Promise<readonly ChangeStep[]> => this.#withSizes(steps);
    const steps = isExpanded ? [] : await sized(planning.expand());
    const contractSteps = await sized(planning.contract());
    const { revision: from, phase, structure } = record;
    const plan: ChangePlan = {
      ...{ domain: domain.domain, store: this.store, from, to: revisionOf(checked), phase },
      state: refused.length > 0 ? 'refused' : isExpanded ? 'expanded' : 'change',
      ...{ expand: steps.map((step) => this.planned(step)), contract: contractSteps.map((step) => this.planned(step)) },
      ...{ ...counts, refused, drift, notices: [...new Set(change.notices)], retired: Object.keys(structure.entries) },
    };
    return { plan, steps, contractSteps, after: named, specification: text };
  }

  async #besideNow(objects: readonly MongodbObject[]): Promise<MongodbChange['beside']> {
    const rules = objects.find((object) => object.type === 'entry' && object.entry['kind'] === 'rules');
    const _id = rules?.type === 'entry' ? rules.entry._id : '';
    const entry = await this.#db.collection(CATALOGUE).findOne({ _id } as Document);
    return (entry?.['beside'] ?? {}) as MongodbChange['beside'];
  }

  protected async compareBack({
    record,
    before,
    next,
    nextStructure,
    generator,
  }: Parameters<DomainChanges<MongodbStructure, MongodbRun>['compareBack']>[0]): ReturnType<
    DomainChanges<MongodbStructure, MongodbRun>['compareBack']
  > {
    const change = generator.changeMongodb(before, next, { now: new Date() });
    const back = generator.changeMongodb(next, before, { now: new Date() });
    const real = await this.structureNow(union(record.structure, nextStructure));
    const files = generator.generateMongodb(before).files ?? {};
    const objects = objectsOf(Object.entries(files).map(([name, text]) => ({ name, text })));
    // n.b. under the older name values are there all the while: the newer one goes.
    const isRenamed = (from: string, field: string): boolean =>
      Object.keys(change.beside[from]?.renamed ?? {}).includes(field);
    const added = Object.fromEntries(
      Object.entries(change.added).map(([name, fields]) => [
        name,
        fields?.filter((each) => !isRenamed(name, each)) ?? null,
      ]),
    );
    const planning = new Planning({ before: next, after: before, change: back, objects, real, record, generator });
    const layout = documentLayout(next);
    const losses = await this.#countGone(layout, added);
    const needed = before.records.flatMap(({ name, fields }) =>
      fields
        .filter((field) => !field.optional && field.computed === undefined && field.rollup === undefined)
        .filter((field) => (change.gone[name] ?? []).includes(field.name))
        .filter((field) => !Object.values(change.beside[name]?.renamed ?? {}).includes(field.name))
        .map((field) => ({ record: name, field: field.name, unfit: null, words: `${name} have no ${field.name}` })),
    );
    const blocks = await this.#countUnfit(documentLayout(before), [...needed, ...back.hurdles]);
    const steps = await this.#withSizes(planning.undo(change, nextStructure));
    return { steps, losses, blocks, refused: [] };
  }

  async #count(planning: Planning): Promise<Pick<ChangePlan, 'losses' | 'blocks'>> {
    const { before, change } = planning.of;
    const layout = documentLayout(before);
    const renamed = (name: string): readonly string[] => Object.values(change.beside[name]?.renamed ?? {});
    const gone = Object.fromEntries(
      Object.entries(change.gone).map(([name, fields]) => [
        name,
        fields?.filter((field) => !renamed(name).includes(field)) ?? null,
      ]),
    );
    const losses = await this.#countGone(layout, gone);
    const unfit = await this.#countUnfit(layout, change.hurdles);
    return { losses, blocks: [...unfit, ...(await this.#countDuplicates(planning))] };
  }

  async #countGone(
    layout: DocumentLayout,
    gone: Readonly<Record<string, readonly string[] | null>>,
  ): Promise<readonly CountedRows[]> {
    const found: CountedRows[] = [];
    for (const [name, fields] of Object.entries(gone)) {
      const { collection, list, pathOf } = layout.placeOf(name);
      if (fields === null) {
        const rows = await this.#countParts({ collection, list }, list === undefined ? {} : { [list]: { $ne: null } });
        found.push({
          rows,
          words: `${list === undefined ? 'documents' : 'parts'} of ${list ?? collection} are lost with it`,
        });
        continue;
      }
      for (const field of fields) {
        const path = pathOf(field);
        const rows = await this.#countParts({ collection, list }, { [path]: { $ne: null } });
        found.push({ rows, words: `${name} have a value in ${collection}.${path}, which goes` });
      }
    }
    return found;
  }

  async #countUnfit(
    layout: DocumentLayout,
    hurdles: readonly (Omit<DocumentHurdle, 'unfit'> & { readonly unfit: DocumentHurdle['unfit'] | null })[],
  ): Promise<readonly CountedRows[]> {
    const found: CountedRows[] = [];
    for (const { record, field, unfit, words } of hurdles) {
      const { collection, list, pathOf } = layout.placeOf(record);
      const rows = await this.#countParts({ collection, list }, { [pathOf(field)]: unfit });
      if (rows > 0) found.push({ rows, words });
    }
    return found;
  }

  /** Documents, or parts of them. */
  async #countParts(
    { collection, list }: { readonly collection: string; readonly list: string | undefined },
    filter: Document,
  ): Promise<number> {
    const stages = [
      ...(list === undefined ? [] : [{ $unwind: `$${list}` }]),
      ...(Object.keys(filter).length === 0 ? [] : [{ $match: filter }]),
      { $group: { _id: null, found: { $sum: 1 } } },
    ];
    try {
      const [row] = await this.#db.collection(collection).aggregate(stages).toArray();
      return Number(row?.['found'] ?? 0);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const what = `What would be lost of ${collection} could not be counted: ${reason}`;
      throw dbaErrors.make('BEDS_DBA_CHANGE_FAILED', what, { cause });
    }
  }

  async #countDuplicates(planning: Planning): Promise<readonly CountedRows[]> {
    const found: CountedRows[] = [];
    for (const { collection, index, older } of planning.newUnique()) {
      const paths = Object.keys(index.key as Document).map((path) => older(path));
      const _id = Object.fromEntries(paths.map((path, place) => [`k${String(place)}`, `$${path}`]));
      const stages = [{ $group: { _id, found: { $sum: 1 } } }, { $match: { found: { $gt: 1 } } }];
      const rows = await this.#db.collection(collection).aggregate(stages).toArray();
      if (rows.length > 0)
        found.push({ rows: rows.length, words: `values of ${paths.join(', ')} are in ${collection} more than once` });
    }
    return found;
  }

  async #withSizes(steps: readonly ChangeStep[]): Promise<readonly ChangeStep[]> {
    const sized: ChangeStep[] = [];
    for (const step of steps) {
      const { run } = step;
      const isLong = run.kind === 'index' || run.kind === 'settle';
      const many = isLong ? await this.#db.collection(run.collection).estimatedDocumentCount() : 0;
      const lock = step.lock.replace('all of them', `about ${String(many)} documents`);
      sized.push({ ...step, lock });
    }
    return sized;
  }

  /* Carrying out */

  protected commands(run: MongodbRun): readonly string[] {
    return commandsOf(run);
  }

  protected async perform(
    domain: string,
    kept: KeptStep<MongodbRun>,
    { onProgress }: Pick<ApplyChange, 'onProgress'>,
  ): Promise<void> {
    const { run } = kept.step;
    switch (run.kind) {
      case 'objects':
        for (const object of run.objects) await putObject(this.#db, object);
        return;
      case 'validator':
        await putObject(this.#db, {
          type: 'collection',
          name: run.collection,
          options: run.options,
          indexes: [],
          documents: [],
        });
        return;
      case 'index':
        await this.#db.collection(run.collection).createIndexes([run.index]);
        return;
      case 'drop-index':
        await this.#db.collection(run.collection).dropIndex(run.name).catch(unlessGone);
        return;
      case 'drop-collection':
        await this.#db.collection(run.collection).drop().catch(unlessGone);
        return;
      case 'drop-entries':
        await this.#db.collection(CATALOGUE).deleteMany({ _id: { $in: [...run.names] } } as Document);
        return;
      case 'wait':
        await new Promise((resolve) => setTimeout(resolve, run.ms));
        return;
      case 'settle':
        await this.#settle(domain, { kept, run, onProgress });
    }
  }

  /** n.b. in the order of the keys: where a batch ends is written down, and none is harmed by being looked at twice. */
  async #settle(
    domain: string,
    {
      kept,
      run,
      onProgress,
    }: {
      readonly kept: KeptStep<MongodbRun>;
      readonly run: Extract<MongodbRun, { kind: 'settle' }>;
      readonly onProgress: ApplyChange['onProgress'];
    },
  ): Promise<void> {
    const collection = this.#db.collection<Document & { _id: unknown }>(run.collection);
    let position = kept.position === null ? undefined : (BSON.EJSON.parse(kept.position) as { readonly at: unknown });
    let { rows } = kept;
    for (;;) {
      const after = (position === undefined ? {} : { _id: { $gt: position.at } }) as Document;
      const batch = await collection.find(after, RAW).sort({ _id: 1 }).limit(BATCH_DOCUMENTS).toArray();
      const last = batch.at(-1);
      if (last === undefined) return;
      await this.#settleBatch(run, batch);
      position = { at: last._id };
      rows += batch.length;
      await this.#note(domain, kept.number, { position: BSON.EJSON.stringify(position), rows });
      onProgress({ type: 'rows', done: rows, words: kept.step.words });
    }
  }

  async #settleBatch(
    { collection: name, settling }: Extract<MongodbRun, { kind: 'settle' }>,
    batch: readonly Document[],
  ): Promise<void> {
    const collection = this.#db.collection(name);
    let documents = batch;
    for (let attempt = 1; ; attempt += 1) {
      const changes = await settleDocuments(settling, documents, { client: this.#client, db: this.#db });
      if (changes.length === 0) return;
      const { matchedCount } = await collection.bulkWrite(
        changes.map((updateOne) => ({ updateOne })),
        { ordered: false },
      );
      if (matchedCount === changes.length) return;
      // Hosts have changed some of them meanwhile.
      if (attempt >= MOST_TRIES)
        throw dbaErrors.make('BEDS_DBA_CHANGE_WAITS', `Documents of ${name} are changed by others all the time.`);
      const ids = changes.map(({ filter }) => filter['_id'] as unknown);
      documents = await collection.find({ _id: { $in: ids } } as Document, RAW).toArray();
    }
  }
}

/** As a host reads them. */
const RAW = { promoteBuffers: false } as const;

interface Role {
  readonly role: string;
  readonly privileges?: readonly {
    readonly resource: Readonly<Record<string, unknown>>;
    readonly actions: readonly string[];
  }[];
}

function stamp(): { readonly changedAt: Date; readonly changedBy: string } {
  return { changedAt: new Date(), changedBy: `${userInfo().username}@${hostname()}` };
}

/** What a step is told that was carried out before. */
function unlessGone(error: unknown): void {
  const { code, message = '' } = error as { readonly code?: unknown; readonly message?: string };
  if (error instanceof MongoServerError && (code === INDEX_NOT_FOUND || code === NAMESPACE_NOT_FOUND)) return;
  if (/ns not found|index not found/i.test(message)) return;
  throw error;
}

const EMPTY: MongodbStructure = { collections: {}, entries: {} };

function objectsOf(files: readonly { readonly name: string; readonly text: string }[]): readonly MongodbObject[] {
  return files.filter(({ name }) => /(?:^|\/)db\/[^/]+\.json$/.test(name)).map((file) => parseObjectFile(file));
}

/** n.b. of what is made only the names are known. */
function namesOf(objects: readonly MongodbObject[]): MongodbStructure {
  const collections = objects.flatMap((object) => (object.type === 'collection' ? [object.name] : []));
  const entries = objects.flatMap((object) => (object.type === 'entry' ? [object.entry._id] : []));
  return {
    collections: Object.fromEntries(collections.map((name) => [name, { indexes: {}, validator: '' }])),
    entries: Object.fromEntries(entries.map((name) => [name, ''])),
  };
}

function union(a: MongodbStructure, b: MongodbStructure): MongodbStructure {
  return { collections: { ...a.collections, ...b.collections }, entries: { ...a.entries, ...b.entries } };
}

function isIn({ collections, entries }: MongodbStructure, name: string): boolean {
  return Object.hasOwn(collections, name) || Object.hasOwn(entries, name);
}

function sharedNames(a: MongodbStructure, b: MongodbStructure): readonly string[] {
  return [
    ...Object.keys(a.collections).filter((name) => Object.hasOwn(b.collections, name)),
    ...Object.keys(a.entries).filter((name) => Object.hasOwn(b.entries, name)),
  ];
}

/* Steps */

interface Planned {
  readonly before: CheckedSpecification;
  readonly after: CheckedSpecification;
  readonly change: MongodbChange;
  /** Of the files of `after`. */
  readonly objects: readonly MongodbObject[];
  readonly real: MongodbStructure;
  readonly record: DomainRecord;
  readonly generator: typeof makers;
}

type Collection = Extract<MongodbObject, { type: 'collection' }>;
type Entry = Extract<MongodbObject, { type: 'entry' }>;

const BATCHES = 'some hundred documents at a time, all of them are read; callers go on';
const MOMENT = 'a moment';

/** What is done between two revisions, step by step. */
class Planning {
  readonly of: Planned;
  readonly #collections: readonly Collection[];
  readonly #layout: DocumentLayout;

  constructor(of: Planned) {
    this.of = of;
    this.#collections = of.objects.filter((object) => object.type === 'collection');
    this.#layout = documentLayout(of.after);
  }

  expand(): readonly ChangeStep[] {
    const { real, change } = this.of;
    const fresh = this.#collections.filter(({ name }) => real.collections[name] === undefined);
    const there = this.#collections.filter(({ name }) => real.collections[name] !== undefined);
    const entries = this.#entries(change.beside);
    const waiting = this.newUnique().map(({ index }) => index.name);
    return [
      ...fresh.map((object) =>
        step('expand', `make the collection ${object.name}`, 'nobody uses it yet', {
          kind: 'objects',
          objects: [object],
        }),
      ),
      ...there.flatMap(({ name, options }) => this.#validator('expand', name, this.#widened(name, options))),
      ...there
        .filter(({ documents }) => documents.length > 0)
        .map((object) =>
          step('expand', `add what is in ${object.name} from the start`, MOMENT, {
            kind: 'objects',
            objects: [{ ...object, options: {}, indexes: [] }],
          }),
        ),
      ...this.#missingIndexes()
        .filter(({ index }) => !waiting.includes(index.name))
        .map((each) => indexStep('expand', each)),
      ...this.#settling('expand', change.beside),
      step(
        'expand',
        `put in ${String(entries.length)} operations and views beside those of the version before`,
        'nobody uses them yet',
        {
          kind: 'objects',
          objects: entries,
        },
      ),
    ];
  }

  contract(): readonly ChangeStep[] {
    const { change, record, real, before } = this.of;
    const isAmbiguous = Object.values(change.beside).some(({ olderOnly }) => olderOnly.length > 0);
    const late = Object.fromEntries(
      Object.entries(change.beside).map(([name, beside]) => [name, { ...beside, olderOnly: [] }] as const),
    );
    const retired = Object.keys(record.structure.entries);
    const dropped = `drop the ${String(retired.length)} operations and views of revision ${String(record.revision)}`;
    const isGone = (name: string): boolean => !this.#collections.some((one) => one.name === name);
    const gone = Object.keys(record.structure.collections).filter((name) => isGone(name) && real.collections[name]);
    return [
      step('contract', dropped, MOMENT, { kind: 'drop-entries', names: retired }),
      ...this.#settling('contract', change.beside, { isRetired: true }),
      ...this.newUnique().map((each) => indexStep('contract', each)),
      ...(isAmbiguous
        ? [
            step('contract', 'tell hosts that the version before is gone', MOMENT, {
              kind: 'objects',
              objects: this.#entries(late),
            }),
            step('contract', 'wait until hosts have looked', 'nobody', { kind: 'wait', ms: LOOKED_MS }),
          ]
        : []),
      ...(Object.keys(change.beside).length === 0
        ? []
        : [
            step('contract', 'let operations and views know the new names only', MOMENT, {
              kind: 'objects',
              objects: this.#entries({}),
            }),
          ]),
      ...this.#dropFields('contract', before, change.gone),
      ...this.#spareIndexes('contract'),
      ...gone.map((collection) =>
        step('contract', `drop the collection ${collection}`, MOMENT, { kind: 'drop-collection', collection }),
      ),
      ...this.#collections.flatMap(({ name, options }) =>
        real.collections[name] === undefined ? [] : this.#validator('contract', name, options),
      ),
    ];
  }

  /** From `before`, which is the next revision here, back to `after`. */
  undo({ added }: MongodbChange, next: MongodbStructure): readonly ChangeStep[] {
    const { record, real, before } = this.of;
    const entries = Object.keys(next.entries).filter((name) => !Object.hasOwn(record.structure.entries, name));
    const fresh = Object.keys(next.collections).filter(
      (name) => !Object.hasOwn(record.structure.collections, name) && real.collections[name] !== undefined,
    );
    return [
      step(
        'undo',
        `drop the ${String(entries.length)} operations and views of revision ${String(record.nextRevision)}`,
        MOMENT,
        {
          kind: 'drop-entries',
          names: entries,
        },
      ),
      ...fresh.map((collection) =>
        step('undo', `drop the collection ${collection}`, MOMENT, { kind: 'drop-collection', collection }),
      ),
      ...this.#dropFields('undo', before, added),
      ...this.#spareIndexes('undo'),
      ...this.#collections.flatMap(({ name, options }) =>
        real.collections[name] === undefined ? [] : this.#validator('undo', name, options),
      ),
    ];
  }

  /** Indexes by which values must differ, and that are not there: what the version before writes is not held to them. */
  newUnique(): readonly {
    readonly collection: string;
    readonly index: IndexDescription;
    readonly older: (path: string) => string;
  }[] {
    return this.#missingIndexes()
      .filter(({ index: { unique, sparse } }) => unique === true && sparse !== true)
      .map(({ collection, index }) => ({ collection, index, older: (path) => this.#olderPath(collection, path) }));
  }

  #olderPath(collection: string, path: string): string {
    const root = this.#layout.roots.find(({ record }) => this.#layout.placeOf(record.name).collection === collection);
    return this.of.change.beside[root?.record.name ?? '']?.renamed[path] ?? path;
  }

  #entries(beside: Readonly<Record<string, BesideRecord>>): readonly Entry[] {
    const { objects, after, generator } = this.of;
    const entries = objects.filter((object) => object.type === 'entry');
    if (Object.keys(beside).length === 0) return entries;
    return entries.map((object): Entry => {
      const { entry } = object;
      if (entry['kind'] === 'rules') return { type: 'entry', entry: { ...entry, beside } };
      if (entry['kind'] !== 'view') return object;
      const record = after.records.find(({ name }) => entry._id.startsWith(`${after.domain}_${name}_rows`));
      const own = record === undefined ? undefined : beside[record.name];
      const stage =
        record === undefined || own === undefined ? undefined : generator.besideStage(record, own, this.#layout);
      if (stage === undefined) return object;
      const { pipeline } = entry['body'] as { readonly pipeline: readonly Document[] };
      const unwind = pipeline.filter((one) => '$unwind' in one);
      const others = pipeline.filter((one) => !('$unwind' in one));
      const whole = [...unwind, BSON.EJSON.deserialize(stage) as Document, ...others];
      return { type: 'entry', entry: { ...entry, body: { pipeline: whole } } };
    });
  }

  #validator(phase: ChangeStep['phase'], collection: string, options: Document): readonly ChangeStep[] {
    if (Object.keys(options).length === 0) return [];
    const words = {
      expand: `let ${collection} take what either version writes`,
      contract: `let ${collection} take what the new version writes`,
      undo: `let ${collection} take what the version before writes`,
    }[phase];
    return [step(phase, words, MOMENT, { kind: 'validator', collection, options })];
  }

  /** What either revision takes. */
  #widened(name: string, options: Document): Document {
    const { before, generator } = this.of;
    const old = objectsOf(
      Object.entries(generator.generateMongodb(before).files ?? {}).map(([file, text]) => ({ name: file, text })),
    ).find((object) => object.type === 'collection' && object.name === name);
    const was = old?.type === 'collection' ? schemaOf(old.options) : undefined;
    const is = schemaOf(options);
    if (was === undefined || is === undefined) return {};
    const properties = eitherOf(propertiesOf(was), propertiesOf(is));
    return { ...options, validator: { $jsonSchema: { bsonType: 'object', properties } } };
  }

  #missingIndexes(): readonly { readonly collection: string; readonly index: IndexDescription }[] {
    const { real, after } = this.of;
    return this.#collections.flatMap(({ name, indexes }) => {
      const there = real.collections[name];
      if (there === undefined) return [];
      const texts = Object.values(there.indexes);
      return indexes
        .filter((index) => !texts.includes(indexText(index)))
        .map((index) => {
          // n.b. the name may be that of an index which the version before needs.
          const isTaken = there.indexes[index.name ?? ''] !== undefined;
          const own = isTaken ? `${String(index.name)}_v${String(revisionOf(after))}` : index.name;
          return { collection: name, index: { ...index, ...(own === undefined ? {} : { name: own }) } };
        });
    });
  }

  /** Indexes of the revision before that the next has no use for. What somebody else has made stays. */
  #spareIndexes(phase: ChangeStep['phase']): readonly ChangeStep[] {
    const { real, record, before, generator } = this.of;
    const made =
      phase === 'undo'
        ? Object.fromEntries(
            objectsOf(
              Object.entries(generator.generateMongodb(before).files ?? {}).map(([name, text]) => ({ name, text })),
            ).flatMap((object) =>
              object.type === 'collection'
                ? [[object.name, object.indexes.map((index) => indexText(index))] as const]
                : [],
            ),
          )
        : Object.fromEntries(
            Object.entries(record.structure.collections).map(([name, { indexes }]) => [name, Object.values(indexes)]),
          );
    return this.#collections.flatMap(({ name, indexes }) => {
      const wanted = indexes.map((index) => indexText(index));
      return Object.entries(real.collections[name]?.indexes ?? {})
        .filter(([, text]) => (made[name] ?? []).includes(text) && !wanted.includes(text))
        .map(([index]) =>
          step(phase, `drop the index ${index} of ${name}`, MOMENT, {
            kind: 'drop-index',
            collection: name,
            name: index,
          }),
        );
    });
  }

  #settling(
    phase: 'expand' | 'contract',
    beside: MongodbChange['beside'],
    { isRetired = false }: { readonly isRetired?: boolean } = {},
  ): readonly ChangeStep[] {
    const [rules] = this.#entries(beside).filter(({ entry }) => entry['kind'] === 'rules');
    const { before } = this.of;
    return this.#layout.roots.flatMap(({ record, parts }) => {
      const { collection } = this.#layout.placeOf(record.name);
      const own = [record, ...parts].filter(({ name }) => before.records.some((one) => one.name === name));
      const given = own.flatMap(({ name }) => {
        const { absent = {}, totals = [], renamed = {} } = beside[name] ?? {};
        return [
          ...Object.entries(absent).map(([field, value]) => `${name}.${field} its default, ${JSON.stringify(value)}`),
          ...totals.map((field) => `${name}.${field} what it counts`),
          ...(isRetired ? Object.entries(renamed).map(([field, from]) => `${name}.${field} what ${from} has`) : []),
        ];
      });
      const isUnique = isRetired && own.some(({ unique }) => unique.length > 0) && this.#hasNewKeys(collection);
      if (
        (given.length === 0 && !isUnique) ||
        rules === undefined ||
        this.of.real.collections[collection] === undefined
      )
        return [];
      const words = [
        ...(given.length === 0 ? [] : [`give ${given.join(', ')}`]),
        ...(isUnique ? [`note in ${collection} what must differ`] : []),
      ];
      const { body } = rules.entry as { readonly body?: unknown };
      const settling = { rules: { body, beside }, root: record.name, isRetired, gone: {} };
      return [step(phase, words.join('; '), BATCHES, { kind: 'settle', collection, settling })];
    });
  }

  /** Whether an index is over what only the new version notes. */
  #hasNewKeys(collection: string): boolean {
    const { record } = this.of;
    const was = Object.values(record.structure.collections[collection]?.indexes ?? {});
    const own = this.#collections.find(({ name }) => name === collection)?.indexes ?? [];
    return own.some((index) => index.sparse === true && !was.includes(indexText(index)));
  }

  /** n.b. by the rules of the revision that knows them, which are given without operations of their own. */
  #dropFields(
    phase: 'contract' | 'undo',
    owner: CheckedSpecification,
    gone: Readonly<Record<string, readonly string[] | null>>,
  ): readonly ChangeStep[] {
    const { after, real } = this.of;
    return this.#layout.roots.flatMap(({ record, parts }) => {
      const { collection } = this.#layout.placeOf(record.name);
      if (real.collections[collection] === undefined) return [];
      const layout = documentLayout(owner);
      const lists = owner.records
        .filter(({ name }) => gone[name] === null && layout.placeOf(name).root.name === record.name)
        .flatMap(({ name }) => (layout.placeOf(name).list === undefined ? [] : [name]));
      const own = Object.fromEntries(
        [record, ...parts].map(
          ({ name }) => [name, [...(gone[name] ?? []), ...(name === record.name ? lists : [])]] as const,
        ),
      );
      const named = Object.entries(own).flatMap(([name, fields]) => fields.map((field) => `${name}.${field}`));
      if (named.length === 0) return [];
      const settling = { rules: { body: after.source }, root: record.name, isRetired: false, gone: own };
      return [step(phase, `drop ${named.join(', ')}`, BATCHES, { kind: 'settle', collection, settling })];
    });
  }
}

type StepParts = [phase: ChangeStep['phase'], words: string, lock: string, run: MongodbRun];

function step(...[phase, words, lock, run]: StepParts): ChangeStep {
  return { phase, words, lock, run };
}

function indexStep(
  phase: ChangeStep['phase'],
  { collection, index }: { readonly collection: string; readonly index: IndexDescription },
): ChangeStep {
  const over = Object.keys(index.key).join(', ');
  const words = `make the ${index.unique === true ? 'unique ' : ''}index ${String(index.name)} of ${collection} over ${over}`;
  return step(
    phase,
    words,
    'a moment at its start and at its end; all of them are read meanwhile, and callers write on',
    {
      kind: 'index',
      collection,
      index,
    },
  );
}

function schemaOf(options: Document): Document | undefined {
  const { validator } = options as { readonly validator?: Document };
  return validator?.['$jsonSchema'] as Document | undefined;
}

function propertiesOf(schema: Document): Readonly<Record<string, Document>> {
  return (schema['properties'] ?? {}) as Readonly<Record<string, Document>>;
}

/** What either of two schemas takes, property by property. */
function eitherOf(
  a: Readonly<Record<string, Document>>,
  b: Readonly<Record<string, Document>>,
): Readonly<Record<string, Document>> {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(
    names.map((name): readonly [string, Document] => {
      const [one, other] = [a[name], b[name]].map((each) => (each === undefined ? undefined : withoutRequired(each)));
      if (one === undefined || other === undefined) return [name, one ?? other ?? {}];
      const isSame = BSON.EJSON.stringify(one) === BSON.EJSON.stringify(other);
      return [name, isSame ? one : { anyOf: [one, other] }];
    }),
  );
}

/** n.b. what one of the two leaves out is no mistake meanwhile. */
function withoutRequired(schema: Document): Document {
  const { required: _, properties, items, ...others } = schema;
  const inner = Object.entries((properties ?? {}) as Readonly<Record<string, Document>>);
  return {
    ...others,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(inner.map(([name, each]) => [name, withoutRequired(each)])) }),
    ...(items === undefined ? {} : { items: withoutRequired(items as Document) }),
  };
}

/** As they are written in a shell of MongoDB. */
function commandsOf(run: MongodbRun): readonly string[] {
  const of = (collection: string): string => `db.getCollection(${JSON.stringify(collection)})`;
  const text = (value: unknown): string => BSON.EJSON.stringify(value);
  switch (run.kind) {
    case 'objects':
      return run.objects.flatMap((object): readonly string[] => {
        if (object.type === 'entry')
          return [
            `${of(CATALOGUE)}.replaceOne({"_id":${JSON.stringify(object.entry._id)}}, ${text(object.entry)}, {upsert: true})`,
          ];
        return [
          `db.createCollection(${JSON.stringify(object.name)}, ${text(object.options)})`,
          ...(object.indexes.length === 0 ? [] : [`${of(object.name)}.createIndexes(${text(object.indexes)})`]),
          ...object.documents.map((document) => `${of(object.name)}.insertOne(${text(document)})`),
        ];
      });
    case 'validator':
      return [`db.runCommand(${text({ collMod: run.collection, ...run.options })})`];
    case 'index': {
      const { key, ...options } = run.index;
      return [`${of(run.collection)}.createIndex(${text(key)}, ${text(options)})`];
    }
    case 'drop-index':
      return [`${of(run.collection)}.dropIndex(${JSON.stringify(run.name)})`];
    case 'drop-collection':
      return [`${of(run.collection)}.drop()`];
    case 'drop-entries':
      return [`${of(CATALOGUE)}.deleteMany({"_id":{"$in":${JSON.stringify(run.names)}}})`];
    case 'wait':
      return [`sleep(${String(run.ms)})`];
    case 'settle':
      return [`// ${run.collection}, document by document: computed by the rules of the domain`];
  }
}
