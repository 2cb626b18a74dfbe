import type { DomainOfNode, NodeStatus } from '../admin/views.js';
import type {
  DomainOnNode,
  DomainPart,
  FleetPart,
  Health,
  NodePart,
  Summary,
  Trouble,
  VersionPart,
} from './contract.js';
import type { Counts, Failed } from './request-counts.js';

/** What one node said last. */
export interface SeenNode {
  readonly status: NodeStatus;
  /** Milliseconds since 1970; undefined: it answers. */
  readonly silentSinceMs: number | undefined;
}

/** Everything that is known of the installation at one moment. */
export interface Seen {
  readonly nodes: readonly SeenNode[];
  /** Why nobody could be asked; undefined: the nodes were asked. */
  readonly problem: string | undefined;
  readonly nowMs: number;
  /** Since then requests are counted. */
  readonly countedSinceMs: number;
  readonly counts: (domain: string) => Counts;
  readonly failed: (domain: string) => readonly Failed[];
  readonly requestsPerSecond: (domain: string) => number;
  readonly p95Ms: (domain: string) => number | undefined;
  /** Undefined: nobody keeps what all nodes shall run. */
  readonly fleet: FleetPart | undefined;
}

const MB = 1_048_576;
/** So many messages do not wait in a queue that is taken from. */
const MANY_WAITING = 1_000;
const RECENT_MS = 300_000;

/** The parts of the live state by their keys, as `contract.ts` says. */
export function partsOf(seen: Seen): ReadonlyMap<string, unknown> {
  const nodes = seen.nodes.map(nodePartOf);
  const domains = domainPartsOf(seen);
  return new Map<string, unknown>([
    ['summary', summaryOf(seen, nodes, domains)],
    ...(seen.fleet === undefined ? [] : [['fleet', seen.fleet] as const]),
    ...nodes.map((node) => [`node:${node.node}`, node] as const),
    ...domains.map((domain) => [`domain:${domain.domain}`, domain] as const),
  ]);
}

function nodePartOf({ status, silentSinceMs }: SeenNode): NodePart {
  const { node, roles, pid, nodeVersion, bedsVersion, startedAt, residentBytes, log, threads, stores } = status;
  return {
    ...{ node, roles, pid, nodeVersion, bedsVersion, startedAt },
    ...(silentSinceMs === undefined ? {} : { silentSince: new Date(silentSinceMs).toISOString() }),
    residentMb: Math.round(residentBytes / MB),
    droppedLogLines: log.droppedLines,
    threads: threads.map(({ thread, group, state, status: own }) => ({
      ...{ thread, group, state, answers: own !== undefined, connections: own?.connections ?? {} },
      ...(own === undefined ? {} : { heapMb: Math.round(own.heapBytes / MB) }),
      ...{ served: own?.served ?? 0, failed: own?.failed ?? 0 },
    })),
    brokers: threads.flatMap(({ thread, status: own }) =>
      (own?.brokers ?? []).map(({ name, type, state, queues, inFlight, messagesPerSecond, restarts, lastError }) => ({
        ...{ name, type, thread, state, queues, inFlight, restarts },
        perSecond: Math.round(messagesPerSecond),
        ...(lastError === undefined ? {} : { lastError }),
      })),
    ),
    stores: stores.map(({ store, kind, up, connections: { inUse, most, waiting }, lastError }) => ({
      ...{ store, kind, up, inUse, most, waiting },
      ...(lastError === undefined ? {} : { lastError }),
    })),
  };
}

function domainPartsOf(seen: Seen): readonly DomainPart[] {
  const answering = seen.nodes.filter(({ silentSinceMs }) => silentSinceMs === undefined);
  const byName = new Map<string, { readonly node: string; readonly view: DomainOfNode }[]>();
  for (const { status } of answering) {
    for (const view of status.domains) {
      byName.set(view.domain, [...(byName.get(view.domain) ?? []), { node: status.node, view }]);
    }
  }
  return [...byName]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([domain, on]) => {
      const { failures, refused } = seen.counts(domain);
      const p95Ms = seen.p95Ms(domain);
      // Every node tells of the same queues.
      const queues = new Map(on.flatMap(({ view }) => view.queues.map((queue) => [queue.queue, queue] as const)));
      return {
        ...{
          domain,
          failures,
          refused,
          requestsPerSecond: seen.requestsPerSecond(domain),
          queues: [...queues.values()],
        },
        ...(p95Ms === undefined ? {} : { p95Ms }),
        callers: [...new Set(on.flatMap(({ view }) => view.calledBy ?? []))],
        failed: seen.failed(domain),
        nodes: on.map(({ node, view }) => domainOnNode(node, view)),
      };
    });
}

function domainOnNode(node: string, view: DomainOfNode): DomainOnNode {
  const { live, candidate, canary, paused, withheld, apart, degraded = [], notices = [], kept = [] } = view;
  return {
    node,
    ...(live === undefined ? {} : { live: versionPart(live) }),
    ...(candidate === undefined ? {} : { candidate: versionPart(candidate) }),
    ...(canary === undefined ? {} : { canary }),
    ...{ paused: paused === true, withheld: withheld === true, apart: apart === true, degraded, notices, kept },
  };
}

function versionPart({ version, hash, state, since, findings }: VersionPart): VersionPart {
  return { version, hash, state, since, ...(findings === undefined ? {} : { findings }) };
}

function summaryOf(seen: Seen, nodes: readonly NodePart[], domains: readonly DomainPart[]): Summary {
  const countedOver = spanOf(seen);
  const troubles = [
    ...(seen.problem === undefined ? [] : [trouble(seen.problem, '/nodes')]),
    ...nodes.flatMap((node) => troublesOfNode(node, seen.nowMs)),
    ...domains.flatMap((domain) => troublesOfDomain(domain, countedOver)),
    ...absentRoles(seen),
    ...waitingWrites(seen),
    ...driftWords(seen.fleet),
  ].sort((a, b) => Number(b.level === 'trouble') - Number(a.level === 'trouble'));
  const answering = nodes.filter(({ silentSince }) => silentSince === undefined).length;
  const failures = domains.reduce((sum, domain) => sum + domain.failures, 0);
  const health = healthOf(troubles, answering);
  return {
    ...{ health, troubles, nodes: answering, domains: domains.length, failures },
    refused: domains.reduce((sum, domain) => sum + domain.refused, 0),
    countedSince: new Date(seen.countedSinceMs).toISOString(),
    countedOver,
    sentence: sentenceOf({ health, troubles, nodes: answering, domains: domains.length, failures, countedOver }),
  };
}

function healthOf(troubles: readonly Trouble[], nodes: number): Health {
  if (troubles.some(({ level }) => level === 'trouble')) return 'trouble';
  if (nodes === 0) return 'unknown';
  return troubles.length > 0 ? 'attention' : 'well';
}

/** Words for the time over which requests are counted. */
function spanOf({ nowMs, countedSinceMs }: Pick<Seen, 'nowMs' | 'countedSinceMs'>): string {
  const minutes = Math.ceil((nowMs - countedSinceMs) / 60_000);
  if (minutes >= 60) return 'the last hour';
  return minutes <= 1 ? 'the last minute' : `the last ${String(minutes)} minutes`;
}

type Counted = Omit<Summary, 'sentence' | 'refused' | 'countedSince'>;

function sentenceOf({ health, troubles, nodes, domains, failures, countedOver }: Counted): string {
  if (health === 'unknown') return 'No node has answered yet.';
  const counted = `${many(nodes, 'node')}, ${many(domains, 'domain')}, ${many(failures, 'failure')} in ${countedOver}`;
  const serious = troubles.filter(({ level }) => level === 'trouble').length;
  if (serious > 0) return `${serious === 1 ? 'Something is' : `${String(serious)} things are`} wrong: ${counted}`;
  if (health === 'well') return `All is well: ${counted}`;
  return `${troubles.length === 1 ? 'One thing needs' : `${String(troubles.length)} things need`} a look: ${counted}`;
}

function many(count: number, word: string): string {
  return `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
}

function trouble(words: string, path: string): Trouble {
  return { level: 'trouble', words, path };
}

function look(words: string, path: string): Trouble {
  return { level: 'attention', words, path };
}

/** Roles that are configured and that no node plays. */
function absentRoles({ nodes }: Seen): readonly Trouble[] {
  const played = new Set(
    nodes.flatMap(({ status, silentSinceMs }) => (silentSinceMs === undefined ? status.roles : [])),
  );
  const absent = new Map(nodes.flatMap(({ status }) => Object.entries(status.rolesOfOthers)));
  return [...absent]
    .filter(([role]) => !played.has(role))
    .map(([role, of]) => {
      const names = of.map((domain) => (domain === '*' ? 'all domains that no role names' : domain)).join(', ');
      return trouble(`No node plays the role ${role}${names === '' ? '' : `: nothing answers ${names}`}.`, '/nodes');
    });
}

function waitingWrites({ nodes }: Seen): readonly Trouble[] {
  const waiting = new Map<string, number>();
  for (const { status } of nodes) {
    for (const { domain, store, count } of status.threads.flatMap((thread) => thread.status?.waitingWrites ?? [])) {
      const key = `${domain}\n${store}`;
      waiting.set(key, (waiting.get(key) ?? 0) + count);
    }
  }
  return [...waiting]
    .filter(([, count]) => count > 0)
    .map(([key, count]) => {
      const [domain = '', store = ''] = key.split('\n');
      return look(`${many(count, 'write')} of ${domain} wait for the store ${store}.`, `/domains/${domain}`);
    });
}

const MAX_DRIFT = 5;

function driftWords(fleet: FleetPart | undefined): readonly Trouble[] {
  const drift = fleet?.drift ?? [];
  const words = drift
    .slice(0, MAX_DRIFT)
    .map(({ node, domain, shall, does }) =>
      domain === '' ? `${node} ${does}.` : `${node}: ${domain} shall be ${shall}, and is ${does}.`,
    );
  const more = drift.length - words.length;
  return [...words, ...(more > 0 ? [`${many(more, 'more deviation')} of what nodes shall run.`] : [])].map((text) =>
    look(text, '/nodes'),
  );
}

function troublesOfNode(node: NodePart, nowMs: number): readonly Trouble[] {
  const path = '/nodes';
  if (node.silentSince !== undefined) return [trouble(`The node ${node.node} no longer answers.`, path)];
  const isRecent = (at: string): boolean => nowMs - Date.parse(at) < RECENT_MS;
  return [
    ...node.threads
      .filter(({ state, answers }) => state !== 'ready' || !answers)
      .map(({ thread, state }) =>
        look(`Thread ${thread} of ${node.node} ${state === 'ready' ? 'does not answer' : `is ${state}`}.`, path),
      ),
    ...node.stores
      .filter(({ up }) => !up)
      .map(({ store, kind }) => trouble(`${node.node} does not reach the store ${store} (${kind}).`, path)),
    ...node.brokers
      .filter(({ state }) => state === 'failed')
      .map(({ name, thread }) => trouble(`The broker ${name} of ${node.node}, thread ${thread}, has failed.`, path)),
    ...node.brokers
      .filter(({ state, lastError }) => state !== 'failed' && lastError !== undefined && isRecent(lastError.at))
      .map(({ name }) => look(`The broker ${name} of ${node.node} was opened again after an error.`, path)),
  ];
}

const MAX_REASON = 160;

/** The first reason is enough to know what it is about. */
function withReason(domain: string, what: string, candidate: VersionPart | undefined): string {
  const said = `${domain} ${candidate?.version ?? ''} ${what}`;
  const reason = candidate?.findings?.[0]?.message;
  if (reason === undefined) return `${said}.`;
  return `${said}: ${reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON).toWellFormed()}…` : reason}`;
}

function troublesOfDomain(part: DomainPart, countedOver: string): readonly Trouble[] {
  const { domain, nodes, queues, failures } = part;
  const path = `/domains/${domain}`;
  const versions = new Set(nodes.flatMap(({ live }) => (live === undefined ? [] : [live.hash])));
  const waits = nodes.find(({ candidate }) => candidate?.state === 'waiting');
  const refused = nodes.find(({ candidate }) => candidate?.state === 'rejected' || candidate?.state === 'quarantined');
  const stuck = queues.find(({ ready, consumers }) => ready > 0 && consumers === 0);
  const long = queues.find(({ ready, consumers }) => ready >= MANY_WAITING && consumers > 0);
  return [
    ...(nodes.some(({ withheld }) => withheld)
      ? [trouble(`Nothing answers ${domain}: its only version is in quarantine.`, path)]
      : []),
    ...(stuck === undefined
      ? []
      : [trouble(`${many(stuck.ready, 'message')} for ${domain} wait, and nobody takes them.`, path)]),
    ...(nodes.some(({ degraded }) => degraded.length > 0)
      ? [look(`Database objects of ${domain} are no longer as they were when it was admitted.`, path)]
      : []),
    ...(versions.size > 1 ? [look(`Nodes serve different versions of ${domain}.`, path)] : []),
    ...(waits === undefined ? [] : [look(withReason(domain, 'waits for the DBA', waits.candidate), path)]),
    ...(refused === undefined ? [] : [look(withReason(domain, 'was refused', refused.candidate), path)]),
    ...(long === undefined ? [] : [look(`${many(long.ready, 'message')} for ${domain} wait.`, path)]),
    ...(nodes.some(({ paused }) => paused) ? [look(`Rollouts of ${domain} are paused.`, path)] : []),
    ...(failures > 0 ? [look(`${many(failures, 'request')} of ${domain} failed in ${countedOver}.`, path)] : []),
  ];
}
