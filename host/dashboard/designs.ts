import { BedsError } from '#sdk/template';
import { z } from 'zod';
import { DESIGN_ORDERS } from '../admin/designs.js';
import { ADMIN_VERSION, deskAnswer } from '../admin/protocol.js';
import type { DesignView } from '../admin/shown.js';
import { adminErrors } from '../errors/admin.js';
import { dashboardErrors } from '../errors/dashboard.js';
import type { DesignPart, DesignsPart } from './contract.js';
import { mayAct, type Person } from './identities.js';

const NOTHING: DesignsPart = { state: 'no-admin-node', provider: 'files', stores: [] };
const order = z.strictObject({
  ...{ id: z.uuid(), at: z.int() },
  ...DESIGN_ORDERS.designStep.fields,
  step: z.enum([...DESIGN_ORDERS.designStep.fields.step.options, ...DESIGN_ORDERS.designDatabase.fields.step.options]),
  allowLoss: z.boolean().exactOptional(),
  acceptDrift: z.boolean().exactOptional(),
});

const VIEW_MS = 1_000;

type Ask = (message: Readonly<Record<string, unknown>>) => Promise<object>;

/** Designs, for pages: the admin node of this host has them, asks who orders, and writes it down. */
export class DesignRoom {
  readonly #ask: Ask;
  readonly #views = new Map<
    string,
    { readonly atMs: number; readonly mark: string; readonly view: Promise<DesignView> }
  >();
  #parts: ReadonlyMap<string, DesignsPart | DesignPart> = new Map([['designs', NOTHING]]);
  #onChange: () => void = () => undefined;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** What browsers are told while they watch, by key. */
  get parts(): ReadonlyMap<string, DesignsPart | DesignPart> {
    return this.#parts;
  }

  set onChange(listener: () => void) {
    this.#onChange = listener;
  }

  hear({ about, designs }: { readonly about: DesignsPart; readonly designs: readonly DesignPart[] }): void {
    this.#parts = new Map<string, DesignsPart | DesignPart>([
      ['designs', about],
      ...designs.map((part) => [`design:${part.domain}`, part] as const),
    ]);
    this.#onChange();
  }

  /** Read once for all who look within a second. Rejects with what the admin node refuses with. */
  view(domain: string, session: string | undefined): Promise<DesignView> {
    const part = this.#parts.get(`design:${domain}`);
    const mark = part !== undefined && 'mark' in part ? part.mark : '';
    const known = this.#views.get(domain);
    if (known?.mark === mark && Date.now() - known.atMs < VIEW_MS) return known.view;
    for (const [name, { atMs }] of this.#views) if (Date.now() - atMs >= VIEW_MS) this.#views.delete(name);
    const view = this.#send({ op: 'design', domain }, session) as Promise<DesignView>;
    this.#views.set(domain, { atMs: Date.now(), mark, view });
    view.catch(() => this.#views.delete(domain));
    return view;
  }

  /** A step that somebody confirmed. Rejects with BEDS_DASHBOARD_*, or what the admin node refuses with. */
  async order(body: unknown, { me }: Person, session: string | undefined): Promise<object> {
    const parsed = order.safeParse(body);
    if (!parsed.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
    const { id, at, ...given } = parsed.data;
    const isOfDba = DESIGN_ORDERS.designDatabase.fields.step.safeParse(given.step).success;
    if (!mayAct(me, isOfDba ? 'dba' : 'operator')) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
    const op = isOfDba ? 'designDatabase' : 'designStep';
    await this.#send({ op, ...given, order: { id, at } }, session);
    return {};
  }

  async #send(message: Readonly<Record<string, unknown>>, session: string | undefined): Promise<unknown> {
    const said = { v: ADMIN_VERSION, by: 'dashboard', ...message, ...(session === undefined ? {} : { session }) };
    const answer = deskAnswer.safeParse(await this.#ask(said));
    if (!answer.success) throw adminErrors.make('BEDS_ADMIN_DESIGNS_OFF');
    if (answer.data.ok) return (answer.data.answers[0] as { readonly result: unknown }).result;
    throw refusal(answer.data.error);
  }
}

function refusal({
  code,
  message,
  hint = '',
}: {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}): Error {
  const specs: Readonly<Record<string, { readonly status: BedsError['status'] }>> = adminErrors.specs;
  return new BedsError(code, { message, status: specs[code]?.status ?? 'fault', action: hint });
}
