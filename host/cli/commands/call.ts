import { commandErrors, EXIT, printable } from '#sdk/cli';
import { randomUUID } from 'node:crypto';
import { connectBeds } from '@beds/sdk/client';
import type { JsonObject } from '@beds/sdk';
import { CORE_OPERATIONS, type ReplyTrace, type RequestEnvelope, type TraceSpan } from '#sdk/template';
import { makeNames } from '../../amqp/names.js';
import type { Command, CommandContext } from '../command.js';
import { brokerOf } from '../broker-of.js';
import type { Output } from '../output.js';
import { timeoutOf, TIMEOUT_OPTION } from '../options.js';

const MEMBERS = ['payload', 'query', 'key'] as const;

export const callCommand: Command = {
  name: 'call',
  summary: 'Call an operation of a domain and print the reply.',
  usage: 'call <domain>.<operation> [json] [--timeout <ms>] [--trace]',
  options: {
    timeout: TIMEOUT_OPTION,
    trace: { type: 'boolean', description: 'Show where the time went: what was called on the way, on which node.' },
  },
  details:
    'The JSON has the members of the envelope: {"query": …}, {"key": …}, {"payload": …}. For a custom operation the arguments ' +
    'alone are enough. If one of them is itself named payload, query or key, wrap them: {"payload":{"payload":…}}. ' +
    '"meta" may be given as well: {"payload":…,"meta":{"idempotencyKey":"…"}}. --trace needs no collector; the host tells the way of a request to the roles of tracing.replyRoles. Example: beds call cities.fetch \'{"query":{"where":{"country":"AD"},"limit":3}}\'',
  run: async (context) => {
    const request = requestOf(context);
    const { url, prefix } = brokerOf(context);
    const client = await connectBeds({ url, name: 'beds call', exchange: makeNames(prefix).requests });
    try {
      const startedAtMs = performance.now();
      const { trace, ...reply } = await client.request(request, context.signal);
      const tookMs = performance.now() - startedAtMs;
      const isTraced = context.options['trace'] === true;
      context.out.value(isTraced && context.json && trace !== undefined ? { ...reply, trace } : reply);
      if (isTraced && !context.json)
        printTrace(trace, { name: `${request.domain}.${request.op}`, ms: tookMs }, context.out);
      return reply.ok ? EXIT.ok : EXIT.failed;
    } finally {
      await client.close();
    }
  },
};

/** The tree of a request, to stderr: standard output has the reply. */
function printTrace(
  trace: ReplyTrace | undefined,
  call: { readonly name: string; readonly ms: number },
  { note }: Pick<Output, 'note'>,
): void {
  if (trace === undefined) {
    note(
      'The host tells the way of a request only to users with a role of tracing.replyRoles; * there means everybody.',
    );
    return;
  }
  const { traceId, spans, left } = trace;
  const ids = new Set(spans.map(({ id }) => id));
  const roots = spans.filter(({ parentId }) => parentId === undefined || !ids.has(parentId));
  const rows: TraceRow[] = [{ words: call.name, ms: call.ms, about: 'from here' }];
  roots.forEach((root, index) => rows.push(...branch(root, spans, { indent: '', isLast: index === roots.length - 1 })));
  const width = Math.max(...rows.map(({ words }) => words.length));
  note(`trace ${traceId}`);
  for (const { words, ms, about } of rows) note(`${words.padEnd(width)}  ${ms.toFixed(2).padStart(10)} ms  ${about}`);
  if (left !== undefined) note(`${left.toLocaleString('en')} more spans are not shown.`);
}

interface TraceRow {
  readonly words: string;
  readonly ms: number;
  readonly about: string;
}

/** n.b. a host gives at most a few hundred spans, and a span is no part of itself. */
function branch(
  span: TraceSpan,
  spans: readonly TraceSpan[],
  { indent, isLast }: { readonly indent: string; readonly isLast: boolean },
): readonly TraceRow[] {
  const { id, name, node, ms, error, attributes = {} } = span;
  const parts = spans.filter(({ parentId, id: own }) => parentId === id && own !== id);
  const inner = `${indent}${isLast ? '   ' : '│  '}`;
  const about = [node, attributes['beds.store'], attributes['beds.version'], error].filter(
    (each) => each !== undefined,
  );
  return [
    { words: printable(`${indent}${isLast ? '└─ ' : '├─ '}${name}`), ms, about: printable(about.join('  ')) },
    ...parts.flatMap((part, index) => branch(part, spans, { indent: inner, isLast: index === parts.length - 1 })),
  ];
}

/** What the command line asks for. Throws BEDS_CLI_ARGUMENT_INVALID. */
export function requestOf(context: Pick<CommandContext, 'args' | 'options'>): RequestEnvelope {
  const [target = '', json = '{}'] = context.args;
  const [domain, op, ...rest] = target.split('.');
  if (domain === undefined || op === undefined || domain === '' || op === '' || rest.length > 0) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The first argument must be <domain>.<operation>.');
  }
  const given = parseObject(json);
  const isCore = (CORE_OPERATIONS as readonly string[]).includes(op);
  const { meta = {}, ...asked } = isCore || isEnvelopePart(given) ? given : { payload: given };
  if (!isObject(meta)) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The member meta must be a JSON object.');
  return {
    v: 1,
    id: randomUUID(),
    domain,
    op,
    ...asked,
    meta: {
      client: 'beds call',
      deadlineMs: timeoutOf(context),
      ...(context.options['trace'] === true && { trace: true }),
      ...meta,
    },
  };
}

/** Without another member, `meta` is an argument. */
function isEnvelopePart(given: JsonObject): boolean {
  const names = Object.keys(given).filter((name) => name !== 'meta');
  return names.length > 0 && names.every((name) => (MEMBERS as readonly string[]).includes(name));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(json: string): JsonObject {
  try {
    const value = JSON.parse(json) as unknown;
    if (isObject(value)) return value;
  } catch {
    // Reported below, together with JSON that is no object.
  }
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'The second argument must be a JSON object.');
}
