import assert from 'node:assert/strict';
import { AdminClient, type AskOptions, askNodes } from '../../host/admin/client.js';
import type { CommandInput, CommandName, CommandResult } from '../../host/admin/commands.js';
import type { DomainView } from '../../host/admin/views.js';
import type { HistoryEntry } from '../../host/deploy/history.js';
import type { RolloutOptions } from '../../host/deploy/state.js';
import { type BundleOptions, describeBundle } from './bundles.js';
import type { TestHost } from './host.js';
import type { CanaryView } from '../../host/admin/shown.js';

const TIMEOUT_MS = 10_000;

/** Commands and queries, over RabbitMQ as the command line sends them. */
export class Administrator {
  readonly #host: TestHost;

  constructor(host: TestHost) {
    this.#host = host;
  }

  /** Deploys bundles together. Returns their hashes, in order. */
  async deploy(bundles: readonly BundleOptions[], options: RolloutOptions = {}): Promise<readonly string[]> {
    const files = bundles.map((bundle) =>
      Object.fromEntries(
        [...describeBundle(bundle).files].map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
      ),
    );
    const { receipts } = await this.command('deploy', { bundles: files, ...options });
    return receipts.map(({ hash }) => hash);
  }

  /** Gives a command that must be accepted. */
  async accepted(op: 'rollback' | 'promote' | 'pause' | 'undeploy', domain = 'notes'): Promise<void> {
    await this.command(op, { domain });
  }

  /** What the one node of the host accepts. Rejects with what it refuses with. */
  async command<N extends CommandName>(op: N, input: CommandInput<N>): Promise<CommandResult> {
    const client = await AdminClient.open({ ...this.#broker, signal: AbortSignal.timeout(TIMEOUT_MS) });
    try {
      const outcome = await client.command(op, input, { timeoutMs: TIMEOUT_MS });
      const [accepted] = outcome.accepted;
      assert.ok(accepted, JSON.stringify(outcome));
      return accepted;
    } finally {
      await client.close();
    }
  }

  async view(domain = 'notes'): Promise<DomainView> {
    const [answer] = await askNodes('progress', { domains: [domain] }, this.#asking);
    return answer?.result.domains.find((view) => view.domain === domain) ?? { domain };
  }

  async canary(domain = 'notes'): Promise<CanaryView | undefined> {
    return (await this.view(domain)).canary;
  }

  async history(domain = 'notes'): Promise<readonly HistoryEntry[]> {
    const [answer] = await askNodes('history', { domain }, this.#asking);
    return answer?.result.entries ?? [];
  }

  get #broker(): { readonly url: string; readonly prefix: string } {
    return { url: this.#host.config.amqp.url, prefix: this.#host.prefix };
  }

  get #asking(): AskOptions {
    return { ...this.#broker, timeoutMs: TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS) };
  }
}
