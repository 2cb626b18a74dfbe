import { isBedsError } from '@beds/sdk';
import type { ChangePlan, ChangePhase, DatabaseStatus, PlannedStep } from '#sdk/cli';
import type * as makers from '#sdk/generate';
import type * as language from '#sdk/spec';
import type { CheckedSpecification } from '#sdk/spec';
import { dbaErrors } from '../errors/dba.js';
import type { ChangeProgress, DomainObjects } from './contract.js';

/**
 * A domain from the revision that its database was made from to that of its domain.json: expand, deploy, contract. What was made from
 * what is kept in the database, and with it every step that was begun. What a database is like, and what it is done with, each kind says.
 */

export interface DomainRecord<S> {
  readonly revision: number;
  readonly specification: string;
  readonly structure: S;
  readonly phase: ChangePhase;
  readonly nextRevision: number | undefined;
  readonly nextSpecification: string | undefined;
  readonly nextStructure: S | undefined;
}

/** One step of a change, as it is kept in the database: what was planned is what is done, also by the process that goes on after a kill. */
export interface ChangeStep<R> {
  readonly phase: 'expand' | 'contract' | 'undo';
  readonly words: string;
  /** For how long whom it holds up, in words. */
  readonly lock: string;
  readonly run: R;
}

export interface KeptStep<R> {
  readonly number: number;
  readonly step: ChangeStep<R>;
  readonly state: 'open' | 'running' | 'done';
  /** Key of the last row of a batch, as text. */
  readonly position: string | null;
  readonly rows: number;
}

export interface ApplyChange {
  readonly allowLoss: boolean;
  readonly acceptDrift: boolean;
  readonly onProgress: (event: ChangeProgress) => void;
}

/** What a plan is made of, and what carrying it out needs. */
export interface Prepared<S, R> {
  readonly plan: ChangePlan;
  readonly steps: readonly ChangeStep<R>[];
  readonly contractSteps: readonly ChangeStep<R>[];
  readonly after: S;
  readonly specification: string;
}

/** Two revisions to be compared, and the database between them. */
export interface Compared<S> {
  readonly domain: DomainObjects;
  readonly before: CheckedSpecification;
  readonly checked: CheckedSpecification;
  readonly record: DomainRecord<S>;
  readonly text: string;
  readonly drift: readonly string[];
  readonly generator: Makers;
}

type Language = typeof language;
type Makers = typeof makers;

export abstract class DomainChanges<S, R> {
  protected readonly store: string;

  constructor(store: string) {
    this.store = store;
  }

  abstract close(): Promise<void>;

  /** Compares with the real database; changes nothing in it. Throws BEDS_DBA_FILE_INVALID. */
  async plan(domain: DomainObjects): Promise<ChangePlan> {
    return (await this.#prepare(domain)).plan;
  }

  /** Whether the files of the domain are put in one by one, as they are: there is nothing of an earlier revision to be kept. */
  async isPlain(domain: DomainObjects): Promise<boolean> {
    const record = await this.record(domain.domain);
    const { text, checked } = await readSpecification(domain);
    if (record === undefined) {
      await this.refuseStrangers(domain, text);
      return true;
    }
    if (record.phase !== 'live') return false;
    if (record.specification === text) return true;
    // Another example or assumption: nothing of it is in the database.
    if (record.revision !== revisionOf(checked)) return false;
    const applied = await this.appliedFiles();
    return domain.files.every(({ name, sha256 }) => applied.get(name) === sha256);
  }

  /** Writes down what the database is made from now. */
  async recordApplied(domain: DomainObjects, isChanged: boolean): Promise<void> {
    const { text, checked } = await readSpecification(domain);
    const isSaid = (record: DomainRecord<S> | undefined): boolean =>
      record !== undefined && (record.phase !== 'live' || (!isChanged && record.specification === text));
    if (isSaid(await this.record(domain.domain))) return;
    // n.b. who writes here ends a change, so nobody may begin one meanwhile.
    await this.alone(domain.domain, async () => {
      const record = await this.record(domain.domain);
      if (isSaid(record)) return;
      const structure = await this.structureOfFiles(domain, record?.structure);
      await this.write(domain.domain, { revision: revisionOf(checked), specification: text, structure });
    });
  }

  /** Expands, or goes on where it was stopped. Both revisions work then. Throws BEDS_DBA_*. */
  async expand(domain: DomainObjects, options: ApplyChange): Promise<number> {
    return this.alone(domain.domain, async () => {
      const record = await this.record(domain.domain);
      if (record?.phase === 'expanding') return this.#goOn(domain, record, options);
      if (record?.phase === 'contracting' || record?.phase === 'undoing')
        throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain.domain} is ${record.phase}: end that first.`);
      const { plan, steps, after, specification } = await this.#prepare(domain);
      if (plan.state === 'current' || plan.state === 'expanded') return 0;
      refuseUnlessAllowed(plan, options);
      await this.begin(domain.domain, { phase: 'expanding', steps, next: { revision: plan.to, specification, after } });
      return this.#goOn(domain, await this.#known(domain.domain), options);
    });
  }

  /** Takes away what only the revision before needed. Throws BEDS_DBA_*. */
  async contract(domain: DomainObjects, options: ApplyChange): Promise<number> {
    return this.alone(domain.domain, async () => {
      const record = await this.#known(domain.domain);
      if (record.phase === 'contracting') return this.#goOn(domain, record, options);
      if (record.phase !== 'expanded')
        throw dbaErrors.make(
          'BEDS_DBA_CHANGE_STATE',
          `${domain.domain} has nothing to contract: it is ${record.phase}.`,
        );
      const { plan, contractSteps } = await this.#prepare(domain);
      refuseUnlessAllowed(plan, options);
      refuseBlocks(plan);
      await this.begin(domain.domain, { phase: 'contracting', steps: contractSteps });
      return this.#goOn(domain, await this.#known(domain.domain), options);
    });
  }

  /** Back to the revision before, as long as it was not taken away. Throws BEDS_DBA_*. */
  async undo(domain: DomainObjects, options: ApplyChange): Promise<number> {
    return this.alone(domain.domain, async () => {
      const record = await this.#known(domain.domain);
      if (record.phase !== 'undoing') {
        if (record.phase !== 'expanded' && record.phase !== 'expanding')
          throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain.domain} has nothing to undo: it is ${record.phase}.`);
        const { steps, plan } = await this.#prepareUndo(domain.domain, record);
        refuseBlocks(plan);
        const losses = plan.losses.filter(({ rows }) => rows > 0);
        refuseUnlessAllowed({ ...plan, losses }, { ...options, acceptDrift: true });
        await this.begin(domain.domain, { phase: 'undoing', steps });
      }
      return this.#goOn(domain, await this.#known(domain.domain), options);
    });
  }

  async status(domains: readonly string[]): Promise<readonly DatabaseStatus[]> {
    const all = (await this.recorded()).filter((name) => domains.length === 0 || domains.includes(name));
    const found: DatabaseStatus[] = [];
    for (const domain of all) {
      const record = await this.#known(domain);
      const { revision, phase, nextRevision } = record;
      const steps = phase === 'live' ? [] : await this.steps(domain);
      found.push({
        ...{ domain, store: this.store, revision, phase, nextRevision },
        steps: steps.map(({ step, state, rows }) => ({ words: step.words, state, rows })),
        drift: await this.#drift(record),
      });
    }
    return found;
  }

  /* What a kind of database says */

  protected abstract record(domain: string): Promise<DomainRecord<S> | undefined>;
  /** The domains of which there is a record, in the order of their names. */
  protected abstract recorded(): Promise<readonly string[]>;
  protected abstract write(
    domain: string,
    made: { readonly revision: number; readonly specification: string; readonly structure: S },
  ): Promise<void>;
  /** The steps and the phase, all at once. */
  protected abstract begin(
    domain: string,
    change: {
      readonly phase: ChangePhase;
      readonly steps: readonly ChangeStep<R>[];
      readonly next?: { readonly revision: number; readonly specification: string; readonly after: S };
    },
  ): Promise<void>;
  protected abstract steps(domain: string): Promise<readonly KeptStep<R>[]>;
  protected abstract mark(domain: string, number: number, state: 'running' | 'done'): Promise<void>;
  /** Throws what is said of the step, or BEDS_DBA_CHANGE_WAITS. */
  protected abstract perform(
    domain: string,
    kept: KeptStep<R>,
    options: Pick<ApplyChange, 'onProgress'>,
  ): Promise<void>;
  protected abstract commands(run: R): readonly string[];
  /** Both revisions work from now on. */
  protected abstract expanded(domain: string, record: DomainRecord<S>): Promise<void>;
  /** The files that are put in, as if one by one. */
  protected abstract recordFiles(domain: DomainObjects): Promise<void>;
  /** SHA-256 of files that were put in, by their names. */
  protected abstract appliedFiles(): Promise<ReadonlyMap<string, string>>;
  /** One at a time. Throws BEDS_DBA_CHANGE_BUSY. */
  protected abstract alone<T>(domain: string, work: () => Promise<T>): Promise<T>;
  /** What the files have made; what a person has changed since the record was written stays to be seen. */
  protected abstract structureOfFiles(domain: DomainObjects, recorded: S | undefined): Promise<S>;
  /** As it is now, of what this one names. */
  protected abstract structureNow(named: S): Promise<S>;
  /** What is not as it was made, in words. `isMeanwhile`: while both revisions work, of what callers use only. */
  protected abstract differences(made: S, isMeanwhile: boolean): Promise<readonly string[]>;
  /** Objects that others have made, or that were made before there were records. Throws BEDS_DBA_CHANGE_STATE. */
  protected abstract refuseStrangers(domain: DomainObjects, text: string): Promise<void>;
  protected abstract made(
    generator: Makers,
    checked: CheckedSpecification,
  ): Readonly<Record<string, string>> | undefined;
  protected abstract compare(compared: Compared<S>): Promise<Prepared<S, R>>;
  protected abstract compareBack(compared: {
    readonly domain: string;
    readonly record: DomainRecord<S>;
    readonly before: CheckedSpecification;
    readonly next: CheckedSpecification;
    readonly nextStructure: S;
    readonly generator: Makers;
  }): Promise<Pick<Prepared<S, R>, 'steps'> & Pick<ChangePlan, 'losses' | 'blocks' | 'refused'>>;
  protected abstract readonly empty: S;

  /* Planning */

  async #prepare(domain: DomainObjects): Promise<Prepared<S, R>> {
    const { text, checked, language, generator } = await readSpecification(domain);
    const record = await this.record(domain.domain);
    const to = revisionOf(checked);
    const bare = {
      ...{ domain: domain.domain, store: this.store, from: record?.revision, to, phase: record?.phase },
      ...{ expand: [], contract: [], losses: [], blocks: [], refused: [], drift: [], notices: [], retired: [] },
    };
    const nothing = (plan: Partial<ChangePlan> & Pick<ChangePlan, 'state'>): Prepared<S, R> => ({
      plan: { ...bare, ...plan },
      ...{ steps: [], contractSteps: [], after: this.empty, specification: text },
    });
    if (record === undefined) {
      const words = `${domain.files.length} files of db/, in their order`;
      return nothing({ state: 'new', expand: [{ words, lock: 'nothing is there yet', sql: [] }] });
    }
    const drift = await this.#drift(record);
    if (record.phase === 'expanding' || record.phase === 'contracting' || record.phase === 'undoing')
      return nothing({ state: 'unfinished', ...(await this.#unfinished(domain.domain, record)) });
    if (record.phase === 'live' && record.specification === text) return nothing({ state: 'current', drift });
    const goal = record.phase === 'expanded' ? record.nextSpecification : text;
    if (record.phase === 'expanded' && goal !== text) {
      const is = `the database is between the revisions ${record.revision} and ${String(record.nextRevision)}`;
      return nothing({ state: 'refused', drift, refused: [`${is}: contract or undo that before another change`] });
    }
    if (to <= record.revision)
      return nothing({
        ...{ state: 'refused', drift },
        refused: [
          to < record.revision
            ? `the database is made from revision ${record.revision}, and domain.json is revision ${to}: an older version needs no change of the database`
            : `domain.json is another document than the database is made from, with the same number: write "revision": ${record.revision + 1} into it, run \`beds generate\`, so that the version before works on beside it`,
        ],
      });
    const made = this.made(generator, checked);
    const stale = made === undefined ? ['all'] : staleFiles(domain, made);
    if (stale.length > 0)
      return nothing({
        state: 'refused',
        drift,
        refused: [`db/ is not made from domain.json (${stale.slice(0, 3).join(', ')}): run \`beds generate\``],
      });
    const before = checkedOf(language, record.specification);
    return this.compare({ domain, before, checked, record, text, drift, generator });
  }

  async #unfinished(domain: string, record: DomainRecord<S>): Promise<Partial<ChangePlan>> {
    const steps = (await this.steps(domain))
      .filter(({ state }) => state !== 'done')
      .map(({ step }) => this.planned(step));
    const notices = [
      `The change was stopped while it was ${record.phase}: ${steps.length} steps are left. Run the same command again to go on.`,
    ];
    return { [record.phase === 'contracting' ? 'contract' : 'expand']: steps, notices };
  }

  async #prepareUndo(
    domain: string,
    record: DomainRecord<S>,
  ): Promise<{ readonly plan: ChangePlan; readonly steps: readonly ChangeStep<R>[] }> {
    const { nextStructure, nextSpecification, revision: to, nextRevision: from, phase } = record;
    if (nextStructure === undefined || nextSpecification === undefined)
      throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `${domain} has nothing to undo.`);
    const [language, generator] = await Promise.all([import('#sdk/spec'), import('#sdk/generate')]);
    const [before, next] = [checkedOf(language, record.specification), checkedOf(language, nextSpecification)];
    const { steps, ...found } = await this.compareBack({ domain, record, before, next, nextStructure, generator });
    const plan: ChangePlan = {
      ...{ domain, store: this.store, state: 'change', from, to: to, phase },
      ...{ expand: [], contract: steps.map((step) => this.planned(step)), drift: [], notices: [], retired: [] },
      ...found,
    };
    return { plan, steps };
  }

  protected planned({ words, lock, run }: ChangeStep<R>): PlannedStep {
    return { words, lock, sql: this.commands(run) };
  }

  /* Carrying out */

  async #goOn(domain: DomainObjects, record: DomainRecord<S>, { onProgress }: ApplyChange): Promise<number> {
    const { phase } = record;
    await this.#runSteps(domain.domain, onProgress);
    const steps = (await this.steps(domain.domain)).length;
    if (phase === 'expanding') {
      await this.expanded(domain.domain, record);
      return steps;
    }
    const isUndone = phase === 'undoing';
    const structure = isUndone ? record.structure : await this.structureNow(record.nextStructure ?? this.empty);
    if (!isUndone) await this.recordFiles(domain);
    await this.write(domain.domain, {
      revision: isUndone ? record.revision : (record.nextRevision ?? record.revision),
      specification: isUndone ? record.specification : (record.nextSpecification ?? record.specification),
      structure,
    });
    return steps;
  }

  /** Carries out what is open of the steps, each written down. Can end at any point, and goes on from there. Throws BEDS_DBA_CHANGE_FAILED, BEDS_DBA_CHANGE_WAITS. */
  async #runSteps(domain: string, onProgress: ApplyChange['onProgress']): Promise<void> {
    const steps = await this.steps(domain);
    for (const kept of steps) {
      if (kept.state === 'done') continue;
      const { number, step } = kept;
      onProgress({ type: 'step', number, of: steps.length, words: step.words });
      await this.mark(domain, number, 'running');
      try {
        await this.perform(domain, kept, { onProgress });
      } catch (cause) {
        if (isBedsError(cause)) throw cause;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw dbaErrors.make('BEDS_DBA_CHANGE_FAILED', `Step ${number}, ${step.words}: ${reason}`, { cause });
      }
      onProgress({ type: 'ran', number });
      await this.mark(domain, number, 'done');
      onProgress({ type: 'done', number, of: steps.length });
    }
  }

  async #known(domain: string): Promise<DomainRecord<S>> {
    const record = await this.record(domain);
    if (record !== undefined) return record;
    throw dbaErrors.make('BEDS_DBA_CHANGE_STATE', `Nothing is recorded of ${domain} in this database.`);
  }

  async #drift({ phase, structure }: DomainRecord<S>): Promise<readonly string[]> {
    // n.b. in the middle of a change nothing is as it was, and all of it is on its way.
    return phase === 'live' || phase === 'expanded' ? this.differences(structure, phase === 'expanded') : [];
  }
}

function refuseUnlessAllowed(
  plan: ChangePlan,
  { allowLoss, acceptDrift }: Pick<ApplyChange, 'allowLoss' | 'acceptDrift'>,
): void {
  if (plan.refused.length > 0)
    throw dbaErrors.make('BEDS_DBA_CHANGE_REFUSED', `${plan.domain}: ${plan.refused.join('; ')}.`);
  if (plan.drift.length > 0 && !acceptDrift)
    throw dbaErrors.make(
      'BEDS_DBA_CHANGE_DRIFT',
      `The database of ${plan.domain} was changed by hand: ${plan.drift.join('; ')}.`,
    );
  if (plan.losses.length > 0 && !allowLoss) {
    const said = plan.losses.map(({ rows, words }) => `${rows} ${words}`).join('; ');
    throw dbaErrors.make('BEDS_DBA_CHANGE_LOSS', `${plan.domain}: ${said}.`);
  }
}

function refuseBlocks({ blocks }: ChangePlan): void {
  const [block] = blocks.filter(({ rows }) => rows > 0);
  if (block !== undefined) throw dbaErrors.make('BEDS_DBA_CHANGE_BLOCKED', `${block.rows} ${block.words}.`);
}

/** Names that are one, and no longer, or new: `<what> <name> is gone`. */
export function differing(
  what: string,
  was: Readonly<Record<string, string>>,
  is: Readonly<Record<string, string>>,
): readonly string[] {
  const known = Object.keys(was).flatMap((name) =>
    is[name] === undefined ? [`${what} ${name} is gone`] : is[name] === was[name] ? [] : [`${what} ${name} is another`],
  );
  const added = Object.keys(is).filter((name) => was[name] === undefined);
  return [...known, ...added.map((name) => `${what} ${name} was added`)];
}

function staleFiles(domain: DomainObjects, made: Readonly<Record<string, string>>): readonly string[] {
  const there = new Map(domain.files.map(({ name, text }) => [name.slice(domain.domain.length + 1), text]));
  return Object.entries(made).flatMap(([name, text]) =>
    name.startsWith('db/') && there.get(name) !== text ? [name] : [],
  );
}

function checkedOf(language: Language, text: string): CheckedSpecification {
  const answer = language.readAnswer(text);
  const checked = answer.ok ? language.checkSpecification(answer.document).checked : undefined;
  if (checked !== undefined) return checked;
  throw dbaErrors.make(
    'BEDS_DBA_CHANGE_STATE',
    'The document that the database was made from is not one that this version of BEDS understands.',
  );
}

export function revisionOf({ source }: CheckedSpecification): number {
  return source.revision ?? 1;
}

/** The document beside db/, in its stable form. Throws BEDS_DBA_FILE_INVALID. */
async function readSpecification({ domain, specification }: DomainObjects): Promise<{
  readonly text: string;
  readonly checked: CheckedSpecification;
  readonly language: Language;
  readonly generator: Makers;
}> {
  const [language, generator] = await Promise.all([import('#sdk/spec'), import('#sdk/generate')]);
  const answer = language.readAnswer(specification ?? '');
  const checked = answer.ok ? language.checkSpecification(answer.document).checked : undefined;
  if (checked === undefined)
    throw dbaErrors.make(
      'BEDS_DBA_FILE_INVALID',
      `${domain}/domain.json has problems: \`beds spec check ${domain}\` lists them.`,
    );
  return { text: language.formatSpecification(checked.source), checked, language, generator };
}
