import type { z } from 'zod';

/** A queue that belongs to no domain. */
export interface OwnQueue {
  /** What follows the prefix: `audit` is the queue `<prefix>.audit`. */
  readonly name: string;
  /** What reaches it: routing patterns by exchange, the exchange without prefix as well. */
  readonly bindings?: Readonly<Record<string, readonly string[]>>;
  /**
   * What is in it may be lost: it is a classic queue, the oldest messages make room beyond so many bytes, and none of them is a dead
   * letter. Absent: it is one of writes.
   */
  readonly lossyBytes?: number;
  /** Every host declares it anyway: `unrouted` and `dead`. */
  readonly isShared?: true;
  /** What expires there, or is delivered too often, is forgotten and not dead-lettered. */
  readonly keepsDead?: false;
}

/**
 * A type of broker, as the configuration and the documentation know it: `host/brokers/<type>/definition.ts` exports one by the
 * name `definition`. What runs is in `broker.ts` beside it. n.b. the configuration is made from definitions, so they import
 * nothing of the host but this file.
 */
export interface BrokerDefinition<Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** What it does, in a sentence. */
  readonly summary: string;
  /** What it consumes and what it keeps, for the documentation. */
  readonly consumes: string;
  readonly keeps: string;
  /** Its keys in `[brokers.<name>]`, beside `type`, `count` and `prefetch`. Every key has a description. */
  readonly settings: Shape;
  /** Its metrics: name to help text. */
  readonly metrics: Readonly<Record<string, string>>;
  /** Where it runs. Default: in every broker thread, beside templates. `supervisor`: once a node, beside the control plane. */
  readonly place?: 'supervisor';
  /** Which queues of its domains it consumes; absent: none. */
  domainQueues?(settings: Settings<Shape>): readonly ('read' | 'write')[];
  /** Its domains, of those of its role; absent or `*`: all of them. */
  domains?(settings: Settings<Shape>): readonly string[];
  /** Queues of its own. */
  ownQueues?(settings: Settings<Shape>): readonly OwnQueue[];
  /** What is wrong between all brokers of this type that have a domain: words that go on with ` of the domain x`. */
  check?(brokers: readonly Settings<Shape>[]): readonly string[];
}

export type Settings<Shape extends z.ZodRawShape> = z.output<z.ZodObject<Shape>> & { readonly count: number };

/** Gives a definition its types. */
export function defineBroker<Shape extends z.ZodRawShape>(
  definition: BrokerDefinition<Shape>,
): BrokerDefinition<Shape> {
  return definition;
}
