import { isBedsError, type Json, type JsonObject, type Scalar, type Template } from '@beds/sdk';
import { testDomain, type TestedDomain } from '@beds/sdk/testing';
import {
  type Caller,
  type CheckedSpecification,
  type Outcome,
  type PlayedCall,
  type Stage,
  TENANT_ROLE,
  wireCall,
} from '#sdk/spec';
import type { NamedObject, StoreAdapter } from '../../stores/contract.js';
import type { Scratch } from './scratch-data.js';

/** Calls of a domain through its template, on a database of its own, as the runtime account. */
export interface ScratchStage extends Stage {
  readonly keep: () => Promise<void>;
  readonly putBack: () => Promise<void>;
  /** Back to the rows that are there from the start. */
  readonly empty: () => Promise<void>;
}

export interface ScratchStageOptions {
  readonly specification: CheckedSpecification;
  readonly template: Template;
  readonly adapter: StoreAdapter;
  /** By the template's alias. */
  readonly objects: Readonly<Record<string, NamedObject>>;
  readonly scratch: Scratch;
}

const CALL_TIMEOUT_MS = 30_000;
const MOST_ROWS = 1_000;

/** The data as they are now are those that are there from the start. */
export async function openScratchStage(options: ScratchStageOptions): Promise<ScratchStage> {
  const { specification, template, scratch } = options;
  await scratch.keep('start');
  const fixed = new Set<string>();
  const domains = new Map<string, TestedDomain<Template>>();
  const domainOf = (user: Caller | undefined): TestedDomain<Template> => {
    const name = JSON.stringify(user ?? null);
    const known =
      domains.get(name) ?? testDomain(template, { objects: routines(options), ...signedIn(user) } as object);
    domains.set(name, known);
    return known;
  };
  return {
    now: () => new Date(),
    call: (call) => {
      noteDays(call.arguments, fixed);
      return outcomeOf(carryOut({ ...options, domain: domainOf(call.user) }, call));
    },
    pass: (ms) => scratch.pass(ms, fixed),
    keep: () => scratch.keep('round'),
    putBack: () => scratch.putBack('round'),
    empty: () => scratch.putBack('start'),
  };

  function signedIn(user: Caller | undefined): {
    readonly user?: { id: string; roles: readonly string[]; session: string };
  } {
    if (user === undefined) return {};
    const { id, roles = [], tenant } = user;
    const all = [...roles, ...(tenant === undefined ? [] : [`${TENANT_ROLE}${tenant}`])];
    return { user: { id, roles: all, session: `s-${specification.domain}` } };
  }
}

/** What stands for each routine in a test of a template is the routine itself here. */
function routines({
  template,
  adapter,
  objects,
}: ScratchStageOptions): Readonly<Record<string, (args: JsonObject) => Promise<unknown>>> {
  const uses = Object.entries(template.definition.objects);
  return Object.fromEntries(
    uses.flatMap(([alias, use]) => {
      const object = objects[alias];
      if (use.kind === 'view' || object === undefined) return [];
      const ask = async (args: JsonObject): Promise<unknown> => {
        const { rows, sets, affected } = await adapter.call(object, args, {
          timeoutMs: CALL_TIMEOUT_MS,
          mode: 'write',
        });
        if (use.kind === 'function') return rows[0]?.['value'];
        if (use.returns === undefined) return affected;
        return Array.isArray(use.returns) ? sets : rows;
      };
      return [[alias, ask] as const];
    }),
  );
}

async function carryOut(
  {
    domain,
    specification,
    template,
    adapter,
    objects,
  }: ScratchStageOptions & { readonly domain: TestedDomain<Template> },
  call: PlayedCall,
): Promise<Json> {
  const said = wireCall(specification, call);
  const view = objects['fetch'];
  const { key } = template.definition;
  const find = async (where: Readonly<Record<string, Scalar>>, limit: number): Promise<readonly JsonObject[]> => {
    if (view?.kind !== 'view') return (await domain.fetch({ where })).rows;
    return (await adapter.view(view, { where, limit, key }, { timeoutMs: CALL_TIMEOUT_MS, mode: 'read' })).rows;
  };
  switch (said.kind) {
    case 'create':
      return domain.create(said.payload);
    case 'update':
      return domain.update(said.key, said.payload);
    case 'delete':
      return domain.delete(said.key);
    case 'list':
      return { rows: await find(said.where as Readonly<Record<string, Scalar>>, MOST_ROWS) };
    case 'fetch':
      return (await find({ [key]: said.key }, 1))[0] ?? null;
    case 'call':
      return domain.call(said.operation as never, said.input);
  }
}

/** Days that a call gives as such stay where they are when time passes. */
export function noteDays(value: Json, fixed: Set<string>): void {
  if (
    typeof value === 'string' &&
    /^\d{4}-\d\d-\d\d$/.test(value) &&
    Math.abs(Date.parse(value) - Date.now()) > 86_400_000 * 60
  )
    fixed.add(value);
  if (typeof value !== 'object' || value === null) return;
  for (const inner of Object.values(value)) noteDays(inner, fixed);
}

/** What no rule of the domain has said, whatever its class. */
const NO_RULE: readonly string[] = ['BEDS_STORE_DENIED', 'BEDS_STORE_QUERY_INVALID', 'BEDS_STORE_NOT_SUPPORTED'];
const CLASSES = { invalid: 'invalid', conflict: 'conflict', forbidden: 'forbidden', 'not-found': 'not_found' } as const;

/** What came of a call. Rejects with what no domain answers with. */
export async function outcomeOf(work: Promise<Json>): Promise<Outcome> {
  try {
    const answer = await work;
    return answer === null ? { ok: false, error: 'not_found', message: 'there is none' } : { ok: true, answer };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    const { status, code, message } = error;
    return {
      ok: false,
      error: (NO_RULE.includes(code) ? undefined : CLASSES[status as keyof typeof CLASSES]) ?? 'fault',
      message: `${code}: ${message}`,
    };
  }
}
