import type { RequestEnvelope } from '@beds/sdk';
import type { Delivery } from '../amqp/delivery.js';
import type { Answer } from './answer.js';
import type { WaitingWrite } from './waiting-write.js';

/** A request of a message, and who takes its answer. */
export interface Asked {
  readonly request: RequestEnvelope;
  readonly delivery: Delivery;
  readonly receivedAtMs: number;
  /** Called once, also in this turn; must not throw. */
  readonly onAnswer: (answer: Answer) => void;
  /** Whether its message holds an array of requests. */
  readonly isOfBatch: boolean;
  /** That it waited for a store before. */
  readonly waited: WaitingWrite | undefined;
}
