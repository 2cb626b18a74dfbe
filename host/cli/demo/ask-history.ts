import type { Config } from '../../config/schema.js';
import { cliErrors } from '../../errors/cli.js';
import type { HistoryEntry } from '../../deploy/history.js';
import type { NodeStatus } from '../../admin/views.js';
import { askNodes } from '../../admin/client.js';

const ANSWER_TIMEOUT_MS = 5_000;

export interface Asking {
  readonly config: Config;
  readonly signal: AbortSignal;
}

/** What happened to a version of a domain since an instant (wall clock, milliseconds), oldest first. */
export async function historySince(
  { domain, version, sinceMs }: { readonly domain: string; readonly version: string; readonly sinceMs: number },
  { config, signal }: Asking,
): Promise<readonly HistoryEntry[]> {
  const { url, prefix } = config.amqp;
  const answers = await askNodes('history', { domain }, { url, prefix, timeoutMs: ANSWER_TIMEOUT_MS, signal });
  return answers
    .flatMap(({ result }) => result.entries)
    .filter((entry) => entry.version === version && Date.parse(entry.at) >= sinceMs);
}

/** Throws BEDS_CLI_DEMO_FAILED, with the reasons, unless the node serves all of these domains. */
export async function requireServed(domains: readonly string[], { config, signal }: Asking): Promise<NodeStatus> {
  const { url, prefix } = config.amqp;
  const [answer] = await askNodes('status', {}, { url, prefix, timeoutMs: ANSWER_TIMEOUT_MS, signal });
  if (answer === undefined) throw cliErrors.make('BEDS_CLI_DEMO_FAILED', 'The host does not answer.');
  for (const domain of domains) {
    const view = answer.result.domains.find((each) => each.domain === domain);
    if (view?.live?.state === 'active') continue;
    const reasons = view?.candidate?.findings?.map(({ code, message }) => `${code}: ${message}`) ?? [
      'no reason is known',
    ];
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', `The domain ${domain} is not served. ${reasons.join(' ')}`);
  }
  return answer.result;
}
