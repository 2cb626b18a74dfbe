import assert from 'node:assert/strict';
import { askNodes } from '../../host/cli/ask-nodes.js';
import { openNodes, type OrderMessage } from '../../host/cli/node-session.js';
import type { OrderAnswer } from '../../host/admin/protocol.js';
import type { CanaryView, DomainView } from '../../host/admin/views.js';
import type { HistoryEntry } from '../../host/deploy/history.js';
import type { RolloutWish } from '../../host/deploy/plan.js';
import { type BundleOptions, describeBundle } from './bundles.js';
import type { TestHost } from './host.js';

const TIMEOUT_MS = 10_000;

/** Orders and questions of an operator, over RabbitMQ as the command line sends them. */
export class Operate {
  readonly #host: TestHost;

  constructor(host: TestHost) {
    this.#host = host;
  }

  /** Deploys bundles together. Returns their hashes, in order. */
  async deploy(bundles: readonly BundleOptions[], wish: RolloutWish = {}): Promise<readonly string[]> {
    const files = bundles.map((bundle) =>
      Object.fromEntries(
        [...describeBundle(bundle).files].map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
      ),
    );
    const answer = await this.order({ v: 1, op: 'deploy', bundles: files, wish });
    assert.ok(answer.ok, JSON.stringify(answer));
    return answer.receipts.map(({ hash }) => hash);
  }

  /** Gives an order that must be accepted. */
  async accepted(op: 'rollback' | 'promote' | 'pause' | 'retire', domain = 'notes'): Promise<void> {
    const answer = await this.order({ v: 1, op, domain });
    assert.ok(answer.ok, JSON.stringify(answer));
  }

  async order(message: OrderMessage): Promise<OrderAnswer> {
    const session = await openNodes({ ...this.#broker, signal: AbortSignal.timeout(TIMEOUT_MS) });
    try {
      const [answer] = await session.order(message, TIMEOUT_MS, 1);
      assert.ok(answer, 'no answer');
      return answer;
    } finally {
      await session.close();
    }
  }

  async view(domain = 'notes'): Promise<DomainView> {
    const [answer] = await askNodes({ v: 1, op: 'progress', domains: [domain] }, this.#asking);
    return answer?.domains.find((view) => view.domain === domain) ?? { domain };
  }

  async canary(domain = 'notes'): Promise<CanaryView | undefined> {
    return (await this.view(domain)).canary;
  }

  async history(domain = 'notes'): Promise<readonly HistoryEntry[]> {
    const [answer] = await askNodes({ v: 1, op: 'history', domain }, this.#asking);
    return answer?.entries ?? [];
  }

  get #broker(): { readonly url: string; readonly prefix: string } {
    return { url: this.#host.config.amqp.url, prefix: this.#host.prefix };
  }

  get #asking(): Parameters<typeof askNodes>[1] {
    return { ...this.#broker, timeoutMs: TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS) };
  }
}
