import type { DomainPart, OrderName } from '../contract.js';
import { api } from './api.js';
import type { Asked } from './dialog.js';
import { shortHash, span } from './words.js';

interface Version {
  readonly version: string;
  readonly hash: string;
}

function seenIn({ nodes }: DomainPart): Readonly<Record<string, string>> {
  return Object.fromEntries(
    nodes.flatMap(({ node, live }) => (live === undefined ? [] : [[node, live.hash] as const])),
  );
}

function order(part: DomainPart, op: OrderName, input: Readonly<Record<string, unknown>> = {}): Asked['give'] {
  const seen = seenIn(part);
  return () => api.order(op, { domain: part.domain, ...input }, seen);
}

function versionsIn({ nodes }: DomainPart): string {
  return [...new Set(nodes.flatMap(({ live }) => live?.version ?? []))].join(' and ');
}

function where({ nodes }: DomainPart): string {
  return nodes.length === 1 ? `on ${nodes[0]?.node ?? 'its node'}` : `on all ${String(nodes.length)} nodes`;
}

/** Ends a trial or a pause in favour of the version that waits. */
export function askPromote(part: DomainPart): Asked {
  const { domain, nodes } = part;
  const canary = nodes.find((on) => on.canary !== undefined)?.canary;
  const waits = canary ?? nodes.find((on) => on.candidate !== undefined)?.candidate;
  if (waits === undefined) {
    return {
      title: `End the pause of ${domain}?`,
      effects: [`New versions of ${domain} take over again ${where(part)} as soon as they are ready.`],
      verb: `End the pause of ${domain}`,
      give: order(part, 'promote'),
    };
  }
  const left =
    canary === undefined || canary.hold
      ? []
      : [`Its trial has ${span(canary.forMs - canary.elapsedMs)} left: it is not waited for.`];
  return {
    title: `Let ${domain} ${waits.version} take over?`,
    effects: [
      `${domain} ${waits.version} answers all callers ${where(part)}; ${versionsIn(part)} finishes its requests and is kept.`,
      ...left,
      `You can go back to ${versionsIn(part)} afterwards.`,
    ],
    verb: `Promote ${domain} ${waits.version}`,
    give: order(part, 'promote'),
  };
}

export function askPause(part: DomainPart): Asked {
  const { domain, nodes } = part;
  const canary = nodes.find((on) => on.canary !== undefined)?.canary;
  return {
    title: `Pause rollouts of ${domain}?`,
    effects: [
      `${domain} ${versionsIn(part)} goes on answering ${where(part)}.`,
      ...(canary === undefined ? [] : [`${canary.version} keeps its ${String(canary.percent)} % of the callers.`]),
      'No new version takes over until somebody promotes it or ends the pause.',
    ],
    verb: `Pause ${domain}`,
    give: order(part, 'pause'),
  };
}

/** To a version that is kept, or, without one, out of a trial. */
export function askRollback(part: DomainPart, to?: Version): Asked {
  const { domain, nodes } = part;
  const canary = nodes.find((on) => on.canary !== undefined)?.canary;
  if (to === undefined) {
    return {
      title: `End the trial of ${domain} ${canary?.version ?? ''}?`,
      effects: [
        `${versionsIn(part)} answers all callers again ${where(part)}.`,
        `${canary?.version ?? 'The new version'} finishes its requests. Its bytes may be deployed again.`,
      ],
      verb: `End the trial of ${domain} ${canary?.version ?? ''}`,
      give: order(part, 'rollback'),
    };
  }
  return {
    title: `Roll back ${domain} to ${to.version}?`,
    effects: [
      `${domain} ${to.version} (${shortHash(to.hash)}) is loaded and takes over ${where(part)}; ${versionsIn(part)} finishes its requests and is kept.`,
      'What requests have written stays as it is.',
      ...(canary === undefined ? [] : [`The trial of ${canary.version} ends.`]),
    ],
    verb: `Roll back ${domain} to ${to.version}`,
    give: order(part, 'rollback', { version: to.hash }),
  };
}

export function askUndeploy(part: DomainPart): Asked {
  const { domain } = part;
  return {
    title: `Take ${domain} out of service?`,
    effects: [
      `Nobody answers requests to ${domain} any more ${where(part)}: callers get an error, other domains that ask it as well.`,
      'Requests under way are finished first. The data stays as it is.',
      `A deploy or a roll back brings it back; until then its file in the plugin directory is ignored.`,
    ],
    verb: `Take ${domain} out of service`,
    typed: domain,
    give: order(part, 'undeploy'),
  };
}

export function askLift(domain: string, { version, hash }: Version): Asked {
  return {
    title: `Lift the quarantine of ${domain} ${version}?`,
    effects: [
      `${domain} ${version} (${shortHash(hash)}) may be deployed again, as if it had never been tried.`,
      'What it did before, it may do again: look at the reason first.',
    ],
    verb: `Lift the quarantine of ${domain} ${version}`,
    give: () => api.order('lift', { name: hash }),
  };
}
