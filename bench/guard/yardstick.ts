/** Waits of an operation of the request path, give or take. */
const WAITS = 6;

interface RequestBody {
  readonly id: string;
  readonly domain: string;
  readonly op: string;
  readonly payload: unknown;
}

const underWay = new Map<string, unknown>();

/**
 * Work of the kinds that an operation consists of (JSON, waits, maps, small objects, a buffer), in code that no change of
 * the project touches: what another machine, or another load on it, does to the request path it does to this as well.
 * JSON alone would do, but it is V8's own code, which new versions of Node make faster than ours.
 */
export async function yardstick(body: Buffer, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => operate(body, n)));
}

async function operate(body: Buffer, n: number): Promise<Buffer> {
  const { id, domain, op, payload } = JSON.parse(body.toString('utf8')) as RequestBody;
  const key = `${domain}.${op}.${n}`;
  underWay.set(key, { id, startedAtMs: performance.now() });
  let data: unknown = payload;
  for (let wait = 0; wait < WAITS; wait++) data = await copyOf(data);
  underWay.delete(key);
  return Buffer.from(JSON.stringify({ v: 1, id, ok: true, data }));
}

async function copyOf(data: unknown): Promise<unknown> {
  return { ...(data as object) };
}
