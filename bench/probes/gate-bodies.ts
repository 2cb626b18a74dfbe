import { configSchema } from '../../host/config/schema.js';
import { decodeMessage } from '../../host/request/decode.js';

/** A request with about so many bytes: records of the usual kind, as many as fit. */
export interface GateBody {
  readonly bytes: number;
  readonly body: Buffer;
}

const SIZES = [200, 2_000, 20_000, 200_000] as const;
const RECORD = { name: 'a name', amount: 42, note: 'a note of a length that notes often have, give or take' };

export const GATE_BODIES: readonly GateBody[] = SIZES.map((bytes) => {
  const count = Math.max(1, Math.round((bytes - 100) / JSON.stringify(RECORD).length));
  const payload = { records: Array.from({ length: count }, () => RECORD) };
  const envelope = { v: 1, id: 'b-1', domain: 'echo', op: 'echo', payload, meta: { client: 'bench' } };
  return { bytes, body: Buffer.from(JSON.stringify(envelope)) };
});

const { limits } = configSchema.parse({});

/** From bytes to a checked envelope, as for every message that comes in. */
export function gate(body: Buffer): unknown {
  return decodeMessage(body, { contentType: 'application/json' }, limits);
}
