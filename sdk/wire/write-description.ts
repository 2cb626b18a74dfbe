import type { JsonObject } from '../template/json.js';
import type { DomainDescription, JsonSchema, OperationDescription } from './description.js';

const CORE: ReadonlySet<string> = new Set(['create', 'fetch', 'update', 'delete']);
const NAME = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

const member = (name: string): string => (NAME.test(name) ? name : JSON.stringify(name));

/** A module of TypeScript whose type is what `connectBeds` and `peer` take for the domain. */
export function typesOf({ domain, version, key, operations, views }: DomainDescription): string {
  const name = domain.replace(/(?:^|-)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const core = (op: string, part: 'payload' | 'key'): string => typeOf(partOf(operations[op], part), 1);
  const data = (op: string): string => typeOf(operations[op]?.data ?? {}, 1);
  const rows = Object.entries(views).map(([view, row]) => `    readonly ${member(view)}: ${typeOf(row, 2)};`);
  const own = Object.entries(operations).filter(([op]) => !CORE.has(op));
  const calls = own.map(
    ([op, operation]) =>
      `    readonly ${member(op)}: { readonly input: ${typeOf(partOf(operation, 'payload'), 2)}; readonly result: ${typeOf(operation.data, 2)} };`,
  );
  return [
    `// Made by \`beds types ${domain}\` from version ${version}. Make it again when the domain has changed.`,
    '',
    'export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };',
    '',
    `export interface ${name} {`,
    `  readonly name: ${JSON.stringify(domain)};`,
    `  readonly key: ${JSON.stringify(key)};`,
    `  readonly create: { readonly payload: ${core('create', 'payload')}; readonly result: ${data('create')} };`,
    `  readonly update: { readonly payload: ${core('update', 'payload')}; readonly result: ${data('update')} };`,
    `  readonly delete: { readonly id: ${core('delete', 'key')}; readonly result: ${data('delete')} };`,
    '  readonly views: {',
    ...(views['fetch'] === undefined ? ['    readonly fetch: { readonly [name: string]: Json };'] : []),
    ...rows,
    '  };',
    calls.length === 0 ? '  readonly operations: {};' : '  readonly operations: {',
    ...(calls.length === 0 ? [] : [...calls, '  };']),
    '}',
    '',
  ].join('\n');
}

function partOf(operation: OperationDescription | undefined, part: string): JsonSchema {
  return ((operation?.request['properties'] as JsonObject | undefined)?.[part] ?? {}) as JsonSchema;
}

/** The type of a JSON Schema, as far as descriptions use them; what it says beyond a type is left out. */
function typeOf(schema: JsonSchema, depth: number): string {
  const { type, enum: values, anyOf, items, properties } = schema;
  if (Array.isArray(values)) return values.map((value) => JSON.stringify(value)).join(' | ') || 'never';
  if (Array.isArray(anyOf)) return anyOf.map((one) => typeOf(one as JsonSchema, depth)).join(' | ');
  if (Array.isArray(type))
    return (type as readonly string[]).map((one) => typeOf({ ...schema, type: one }, depth)).join(' | ');
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return type;
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return `readonly ${inParentheses(typeOf((items ?? {}) as JsonSchema, depth))}[]`;
    case 'object':
      return objectType(schema, (properties ?? undefined) as JsonObject | undefined, depth);
    default:
      return 'Json';
  }
}

function inParentheses(type: string): string {
  return / \| |^readonly /.test(type) && !type.startsWith('{') ? `(${type})` : type;
}

function objectType({ required }: JsonSchema, properties: JsonObject | undefined, depth: number): string {
  if (properties === undefined) return '{ readonly [name: string]: Json }';
  const entries = Object.entries(properties);
  if (entries.length === 0) return '{}';
  const needed = new Set(Array.isArray(required) ? required : []);
  const indent = '  '.repeat(depth);
  const lines = entries.map(
    ([name, value]) =>
      `${indent}  readonly ${member(name)}${needed.has(name) ? '' : '?'}: ${typeOf(value as JsonSchema, depth + 1)};`,
  );
  return ['{', ...lines, `${indent}}`].join('\n');
}

/** An AsyncAPI 3 document: a channel, a request and its reply for each operation. https://www.asyncapi.com/docs/reference/specification/v3.0.0 */
export function asyncApiOf(description: DomainDescription, exchange: string): JsonObject {
  const { domain, version, operations, errors } = description;
  const entries = Object.entries(operations);
  const channels = entries.map(([op]) => [
    op,
    {
      address: `${domain}.${op}`,
      messages: { request: { $ref: `#/components/messages/${op}Request` } },
      bindings: { amqp: { is: 'routingKey', exchange: { name: exchange, type: 'topic', durable: true } } },
    },
  ]);
  const asked = entries.map(([op, { mode }]) => [
    op,
    {
      action: 'receive',
      summary: `${SUMMARY[mode]} ${domain}.${op}`,
      channel: { $ref: `#/channels/${op}` },
      reply: {
        address: { location: '$message.header#/replyTo' },
        channel: { $ref: '#/channels/replies' },
        messages: [{ $ref: `#/channels/replies/messages/${op}Reply` }],
      },
    },
  ]);
  const replies = entries.map(([op]) => [`${op}Reply`, { $ref: `#/components/messages/${op}Reply` }]);
  const messages = entries.flatMap(([op, operation]) => [
    [`${op}Request`, { contentType: 'application/json', payload: envelopeOf(domain, op, operation) }],
    [`${op}Reply`, { contentType: 'application/json', payload: replyOf(operation, Object.keys(errors)) }],
  ]);
  return {
    asyncapi: '3.0.0',
    info: { title: domain, version },
    defaultContentType: 'application/json',
    channels: { ...object(channels), replies: { address: null, messages: object(replies) } },
    operations: object(asked),
    components: { messages: object(messages) },
  };
}

const SUMMARY = { read: 'Read:', write: 'Write:', idempotent: 'Write that may be repeated:' } as const;

const object = (entries: readonly unknown[]): JsonObject =>
  Object.fromEntries(entries as readonly (readonly [string, JsonObject])[]);

const TEXT = { type: 'string', minLength: 1, maxLength: 255 };

function envelopeOf(domain: string, op: string, { request }: OperationDescription): JsonObject {
  const own = (request['properties'] ?? {}) as JsonObject;
  const required = (request['required'] ?? []) as readonly string[];
  const meta = {
    type: 'object',
    properties: {
      ...{ client: TEXT, session: { ...TEXT, maxLength: 8_192 }, idempotencyKey: TEXT, traceparent: TEXT },
      ...{ tracestate: { type: 'string', maxLength: 512 }, trace: { type: 'boolean' } },
      deadlineMs: { type: 'number', exclusiveMinimum: 0 },
      sentAt: { type: 'number' },
    },
    additionalProperties: false,
  };
  return {
    type: 'object',
    properties: { v: { const: 1 }, id: TEXT, domain: { const: domain }, op: { const: op }, ...own, meta },
    required: ['v', 'id', 'domain', 'op', ...required],
    additionalProperties: false,
  };
}

function replyOf({ data }: OperationDescription, codes: readonly string[]): JsonObject {
  const problem = { type: 'object', properties: { field: { type: 'string' }, message: { type: 'string' } } };
  const error = {
    type: 'object',
    properties: {
      code: { anyOf: [{ enum: codes }, { type: 'string' }] },
      ...{ status: { type: 'string' }, message: { type: 'string' }, retryable: { type: 'boolean' } },
      ...{ field: { type: 'string' }, problems: { type: 'array', items: problem }, hint: { type: 'string' } },
    },
    required: ['code', 'message', 'retryable'],
  };
  const same = { v: { const: 1 }, id: { type: 'string' }, by: { type: 'object' } };
  const page = { type: 'object', properties: { cursor: { type: 'string' }, count: { type: 'integer' } } };
  return {
    oneOf: [
      { type: 'object', properties: { ...same, ok: { const: true }, data, page }, required: ['v', 'id', 'ok', 'data'] },
      { type: 'object', properties: { ...same, ok: { const: false }, error }, required: ['v', 'id', 'ok', 'error'] },
    ],
  };
}
