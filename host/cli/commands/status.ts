import { EXIT } from '#sdk/cli';
import { askNodes } from '../../admin/client.js';
import { QUERIES } from '../../admin/queries.js';
import { straysOf } from '../../admin/node-views.js';
import type { DomainView, NodeStatus } from '../../admin/views.js';
import type { Command } from '../command.js';
import { printDrift, readDrift } from './fleet.js';
import { askOptions, NODE_OPTION } from '../admin-command.js';
import { percentText, strayText } from '../rollout-text.js';
import { ago, megabytes, type Output } from '../output.js';
import { TIMEOUT_OPTION } from '../options.js';

export const statusCommand: Command = {
  name: 'status',
  summary: QUERIES.status.summary,
  usage: 'status [--node <name>] [--timeout <time>]',
  options: { node: NODE_OPTION, timeout: TIMEOUT_OPTION },
  details:
    'Asks every running node over AMQP. Exits with 1 when a thread, a broker, a store or a domain is out of service, no node plays a ' +
    'role that is configured, a node does not run what all nodes shall (`beds fleet`), writes wait for ' +
    'a store, a version is refused or waits, or the database objects of a domain are no longer as they were admitted (degraded).',
  run: async (context) => {
    const answers = await askNodes('status', {}, askOptions(context));
    const nodes = answers.map(({ result }) => result).sort((a, b) => a.node.localeCompare(b.node));
    // n.b. of one node the others are not known.
    const isOne = context.options['node'] !== undefined;
    const fleet = isOne ? undefined : await readDrift(context);
    if (context.json) context.out.value(nodes);
    else printStatus(nodes, context.out, isOne);
    if (fleet !== undefined && !context.json) printDrift(fleet, context.out);
    if (fleet !== undefined && fleet.drift.length > 0) return EXIT.failed;
    return (isOne || absentRoles(nodes).length === 0) && nodes.every(isHealthy) ? EXIT.ok : EXIT.failed;
  },
};

function isHealthy(node: NodeStatus): boolean {
  return (
    node.threads.every(({ state, status }) => state === 'ready' && status !== undefined) &&
    node.stores.every(({ up }) => up) &&
    node.domains.every(isServed) &&
    node.threads.every(({ status }) => status?.waitingWrites.length === 0) &&
    brokersOf(node).every(({ state }) => state !== 'failed')
  );
}

/** Roles that are configured and that no node plays. */
function absentRoles(nodes: readonly NodeStatus[]): readonly (readonly [role: string, domains: readonly string[]])[] {
  const played = new Set(nodes.flatMap(({ roles }) => roles));
  const absent = new Map(nodes.flatMap(({ rolesOfOthers }) => Object.entries(rolesOfOthers)));
  return [...absent].filter(([role]) => !played.has(role));
}

function printStatus(nodes: readonly NodeStatus[], out: Output, isOne: boolean): void {
  out.table({
    head: ['node', 'roles', 'up', 'threads', 'memory', 'served', 'failed', 'node.js', 'pid'],
    rows: nodes.map((node) => [
      node.node,
      node.roles.join(', '),
      ago(node.startedAt),
      `${String(node.threads.filter(({ state }) => state === 'ready').length)}/${String(node.threads.length)}`,
      megabytes(node.residentBytes),
      sum(node, 'served'),
      sum(node, 'failed'),
      node.nodeVersion,
      node.pid,
    ]),
    numeric: [5, 6],
  });
  for (const { node, log } of nodes) {
    if (log.waitingLines + log.droppedLines > 0) out.line(`${node}: ${logText(log)}`);
  }
  for (const [role, domains] of isOne ? [] : absentRoles(nodes))
    out.line(
      `No node plays the role ${role}${domains.length === 0 ? '' : `: requests to ${namesOf(domains)} fail with BEDS_REQUEST_ROLE_ABSENT`}.`,
    );
  out.line();
  printDomains(nodes, out);
  out.line();
  printThreads(nodes, out);
  out.line();
  printBrokers(nodes, out);
  out.line();
  printStores(nodes, out);
}

function namesOf(domains: readonly string[]): string {
  return domains.map((domain) => (domain === '*' ? 'all domains that no role names' : domain)).join(', ');
}

function logText({ droppedLines, waitingLines, code }: NodeStatus['log']): string {
  const dropped = `${String(droppedLines)} lines of its log were dropped`;
  return code === undefined ? dropped : `${dropped}, ${String(waitingLines)} wait for the output (${code})`;
}

function sum(node: NodeStatus, field: 'served' | 'failed'): number {
  return node.threads.reduce((total, { status }) => total + (status?.[field] ?? 0), 0);
}

function isServed({ candidate, degraded = [], withheld }: DomainView): boolean {
  // What an operator took out on purpose is no fault.
  const isTakenOut = candidate?.findings?.[0]?.code === 'BEDS_ROLLOUT_ROLLED_BACK';
  const isAside = candidate?.state === 'canary' || candidate?.state === 'superseded';
  const isOnItsWay = candidate === undefined || isAside || isTakenOut;
  return isOnItsWay && degraded.length === 0 && withheld !== true;
}

type DomainStatus = NodeStatus['domains'][number];

function printDomains(nodes: readonly NodeStatus[], out: Output): void {
  const rows = nodes.flatMap(({ node, domains, threads }) =>
    domains.flatMap((view) =>
      [...liveRow(view, threads), ...candidateRow(view)].map((row) => [node, view.domain, ...row]),
    ),
  );
  if (rows.length === 0)
    out.line('No domain is served: `beds deploy` a bundle, or drop one into the plugins directory.');
  else out.table({ head: ['node', 'domain', 'version', 'state', 'waiting r / w', 'since', 'bundle', 'remark'], rows });
}

/** The waiting writes of a domain in all threads: `12 writes wait for store main, BEDS_STORE_UNAVAILABLE`. Empty: none. */
function waitOf(domain: string, threads: NodeStatus['threads']): string {
  const own = threads.flatMap(({ status }) => status?.waitingWrites ?? []).filter((each) => each.domain === domain);
  return [...new Set(own.map(({ store }) => store))]
    .map((store) => {
      const here = own.filter((each) => each.store === store);
      const count = here.reduce((total, each) => total + each.count, 0);
      return `${String(count)} ${count === 1 ? 'write waits' : 'writes wait'} for store ${store}, ${here[0]?.code ?? ''}`;
    })
    .join('; ');
}

function liveRow(view: DomainStatus, threads: NodeStatus['threads']): string[][] {
  const { domain, live, queues, degraded = [], paused, withheld, apart } = view;
  if (live === undefined)
    return withheld === true ? [['', 'withheld', '', '', '', 'every kept version is in quarantine']] : [];
  const named = [degraded.length > 0 && 'degraded', paused === true && 'paused', apart === true && 'tried apart'];
  const marks = named.filter((mark) => mark !== false);
  const waiting = queues.map(({ ready }) => ready).join(' / ');
  const strays = straysOf(threads, live.generation);
  const remarks = [degraded[0]?.code ?? '', waitOf(domain, threads), strays === 0 ? '' : strayText(strays)];
  const remark = remarks.filter((part) => part !== '').join('; ');
  return [[live.version, [live.state, ...marks].join(', '), waiting, ago(live.since), live.hash.slice(0, 12), remark]];
}

function candidateRow({ candidate, canary }: DomainStatus): string[][] {
  if (canary !== undefined) {
    const share = canary.percent > 0 ? percentText(canary.percent) : `shadow ${percentText(canary.shadowPercent)}`;
    const { candidate: own, active, waits } = canary;
    const failed = `${percentText(own.errorPercent)} of its requests failed, of the active ${percentText(active.errorPercent)}`;
    const strays = own.strays === undefined ? [] : [strayText(own.strays)];
    const remark = [...(waits === undefined ? [] : [`waits: ${waits}`]), failed, ...strays].join('; ');
    return [
      [
        canary.version,
        `canary ${share}`,
        '',
        `${Math.round(canary.elapsedMs / 1_000)} s`,
        canary.hash.slice(0, 12),
        remark,
      ],
    ];
  }
  if (candidate === undefined) return [];
  const { version, state, since, findings, hash } = candidate;
  return [[version, state, '', ago(since), hash.slice(0, 12), findings?.[0]?.code ?? '']];
}

function printThreads(nodes: readonly NodeStatus[], out: Output): void {
  out.table({
    head: ['node', 'thread', 'state', 'consume', 'reply', 'events', 'in flight', 'served', 'failed', 'heap'],
    rows: nodes.flatMap(({ node, threads }) =>
      threads.map(({ thread, state, status }) => [
        node,
        thread,
        status === undefined && state === 'ready' ? 'silent' : state,
        status?.connections['consume'],
        status?.connections['reply'],
        status &&
          `${status.connections['events'] ?? ''}${status.eventsDropped > 0 ? `, ${String(status.eventsDropped)} dropped` : ''}`,
        status?.brokers.reduce((total, { inFlight }) => total + inFlight, 0),
        status?.served,
        status?.failed,
        status && megabytes(status.heapBytes),
      ]),
    ),
    numeric: [6, 7, 8],
  });
}

type BrokerStatus = NonNullable<NodeStatus['threads'][number]['status']>['brokers'][number];

function brokersOf({ threads, brokers }: NodeStatus): readonly BrokerStatus[] {
  return [...threads.flatMap(({ status }) => status?.brokers ?? []), ...brokers];
}

/** A line for each entry of the configuration: all brokers that all threads run of it. */
function printBrokers(nodes: readonly NodeStatus[], out: Output): void {
  out.table({
    head: ['node', 'broker', 'type', 'state', 'queues', 'messages/s', 'in flight', 'restarts', 'last error'],
    rows: nodes.flatMap((node) => {
      const brokers = brokersOf(node);
      return [...new Set(brokers.map(({ entry }) => entry))].map((entry) => {
        const own = brokers.filter((broker) => broker.entry === entry);
        const total = (field: 'messagesPerSecond' | 'inFlight' | 'restarts'): number =>
          own.reduce((sum, broker) => sum + broker[field], 0);
        return [
          node.node,
          entry,
          own[0]?.type,
          brokerStates(own),
          queuesText([...new Set(own.flatMap(({ queues }) => queues))].sort()),
          total('messagesPerSecond').toFixed(1),
          total('inFlight'),
          total('restarts'),
          lastErrorOf(own),
        ];
      });
    }),
    numeric: [5, 6, 7],
  });
}

/** `consuming`; with brokers that differ `3 consuming, 1 failed`. */
function brokerStates(brokers: readonly BrokerStatus[]): string {
  const states = [...new Set(brokers.map(({ state }) => state))];
  if (states.length === 1) return states[0] ?? '';
  return states
    .map((state) => `${String(brokers.filter((broker) => broker.state === state).length)} ${state}`)
    .join(', ');
}

const SHOWN_QUEUES = 3;

function queuesText(queues: readonly string[]): string {
  const more = queues.length - SHOWN_QUEUES;
  const shown = queues.slice(0, SHOWN_QUEUES).join(', ');
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

function lastErrorOf(brokers: readonly BrokerStatus[]): string {
  const errors = brokers.flatMap(({ lastError }) => lastError ?? []).sort((a, b) => b.at.localeCompare(a.at));
  return errors[0] === undefined ? '' : `${ago(errors[0].at)} ago: ${errors[0].message}`;
}

/** How many calls are under way, of how many at once; and how many wait for their turn. Of all threads. */
function callsOf(store: string, threads: NodeStatus['threads']): readonly [string, number] {
  const all = threads.flatMap(({ status }) => status?.stores ?? []).filter((seen) => seen.store === store);
  const sum = (field: 'inUse' | 'most' | 'waiting'): number =>
    all.reduce((total, { connections }) => total + connections[field], 0);
  return [`${String(sum('inUse'))} of ${String(sum('most'))}`, sum('waiting')];
}

function printStores(nodes: readonly NodeStatus[], out: Output): void {
  out.table({
    head: ['node', 'store', 'server', 'state', 'calls', 'waiting', 'cannot'],
    rows: nodes.flatMap(({ node, stores, threads }) =>
      stores.map(({ store, server, up, lastError, why, capabilities }) => {
        const missing = Object.entries(capabilities).flatMap(([name, can]) => (can === true ? [] : [name]));
        const state = up ? 'up' : `down: ${why ?? lastError ?? 'not opened yet'}`;
        return [node, store, server, state, ...callsOf(store, threads), missing.join(', ')];
      }),
    ),
    numeric: [5],
  });
}
