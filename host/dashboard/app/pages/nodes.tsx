import type { VNode } from 'preact';
import type { BrokerPart, FleetPart, NodePart } from '../../contract.js';
import type { State } from '../live.js';
import { Ago, Empty, Hash, Loading, Mark, Section, Table, Title, To } from '../parts.js';
import { count, type Tone } from '../words.js';

/** Every node with what runs in it. */
export function Nodes({ live }: { readonly live: State }): VNode {
  const { nodes, summary, fleet } = live;
  return (
    <>
      <Title document="Nodes">Nodes</Title>
      {summary === undefined && <Loading />}
      {summary !== undefined && nodes.length === 0 && <Empty>No node has answered yet.</Empty>}
      {fleet !== undefined && <Desired fleet={fleet} />}
      {nodes.map((node) => (
        <Node key={node.node} node={node} />
      ))}
    </>
  );
}

/** What all nodes shall run, and which of them do not. */
function Desired({ fleet: { desired, drift } }: { readonly fleet: FleetPart }): VNode {
  const ofNodes = drift.filter(({ domain }) => domain === '');
  return (
    <Section title="What all nodes shall run" note="An admin node keeps it, with the bytes.">
      {ofNodes.map(({ node, does }) => (
        <p class="problem" key={node}>
          {node} {does}.
        </p>
      ))}
      <Table label="What all nodes shall run" head={['Domain', 'Version', 'Bytes', 'Since', 'Nodes that differ']}>
        {Object.entries(desired).map(([domain, { version, hash, state, at }]) => {
          const differing = drift.filter((each) => each.domain === domain);
          return (
            <tr key={domain}>
              <th scope="row">
                <Mark tone={differing.length > 0 ? 'attention' : 'well'} />{' '}
                <To path={`/domains/${domain}`}>{domain}</To>
              </th>
              <td>
                {version}
                {state !== 'serve' && <span class="tag">{state}</span>}
              </td>
              <td>
                <Hash hash={hash} />
              </td>
              <td>{at > 0 && <Ago at={new Date(at).toISOString()} />}</td>
              <td>
                {differing.length === 0
                  ? 'none'
                  : differing.map(({ node, does }) => (
                      <div key={node}>
                        {node} runs {does}
                      </div>
                    ))}
              </td>
            </tr>
          );
        })}
      </Table>
    </Section>
  );
}

export function NodeTable({ nodes }: { readonly nodes: readonly NodePart[] }): VNode {
  return (
    <Table label="Nodes" head={['Node', 'Roles', 'Started', 'Threads', 'Brokers', 'Stores', '#Memory']}>
      {nodes.map((node) => {
        const up = node.stores.filter((store) => store.up).length;
        const ready = node.threads.filter(({ state, answers }) => state === 'ready' && answers).length;
        const open = node.brokers.filter(({ state }) => state !== 'failed').length;
        return (
          <tr key={node.node}>
            <th scope="row">
              <Mark tone={toneOfNode(node)} /> {node.node}
              {node.silentSince !== undefined && <span class="tag">no longer answers</span>}
            </th>
            <td>{node.roles.join(', ')}</td>
            <td>
              <Ago at={node.startedAt} />
            </td>
            <td>{of(ready, node.threads.length)}</td>
            <td>{of(open, node.brokers.length)}</td>
            <td>{of(up, node.stores.length)}</td>
            <td class="number">{node.residentMb.toLocaleString('en')} MB</td>
          </tr>
        );
      })}
    </Table>
  );
}

function of(good: number, all: number): string {
  return good === all ? String(all) : `${String(good)} of ${String(all)}`;
}

function toneOfNode({ silentSince, stores, brokers, threads }: NodePart): Tone {
  if (silentSince !== undefined || stores.some(({ up }) => !up) || brokers.some(({ state }) => state === 'failed'))
    return 'trouble';
  return threads.some(({ state, answers }) => state !== 'ready' || !answers) ? 'attention' : 'well';
}

function Node({ node }: { readonly node: NodePart }): VNode {
  const { silentSince } = node;
  return (
    <Section
      title={node.node}
      note={
        <>
          {node.roles.join(', ')} · BEDS {node.bedsVersion}, Node {node.nodeVersion.replace('v', '')} · process{' '}
          {node.pid}, started <Ago at={node.startedAt} /> · {count(node.residentMb, 'MB').replace(/s$/, '')}
          {node.droppedLogLines > 0 && ` · ${count(node.droppedLogLines, 'log line')} dropped`}
        </>
      }
    >
      {silentSince !== undefined && (
        <p class="problem">
          It has not answered since <Ago at={silentSince} />. What is below is from before.
        </p>
      )}
      {node.brokers.length > 0 && <Brokers brokers={node.brokers} />}
      {node.threads.length > 0 && <Threads threads={node.threads} />}
      <Stores stores={node.stores} />
    </Section>
  );
}

/** All instances of one broker, which are numbered, are one line. */
function Brokers({ brokers }: Pick<NodePart, 'brokers'>): VNode {
  const names = [...new Set(brokers.map(nameOf))];
  return (
    <Table
      label="Brokers"
      head={[
        'Broker',
        'Type',
        'State',
        '#Instances',
        '#Queues',
        '#Messages/s',
        '#In flight',
        '#Restarts',
        'Last error',
      ]}
    >
      {names.map((name) => (
        <BrokerRow key={name} name={name} all={brokers.filter((broker) => nameOf(broker) === name)} />
      ))}
    </Table>
  );
}

function nameOf({ name }: BrokerPart): string {
  return name.replace(/-\d+$/, '');
}

function BrokerRow({ name, all }: { readonly name: string; readonly all: readonly BrokerPart[] }): VNode {
  const sum = (value: (broker: BrokerPart) => number): string =>
    all.reduce((total, broker) => total + value(broker), 0).toLocaleString('en');
  const states = [...new Set(all.map(({ state }) => state))];
  const error = all
    .flatMap(({ lastError }) => (lastError === undefined ? [] : [lastError]))
    .toSorted((a, b) => (a.at < b.at ? 1 : -1))[0];
  const [first] = all;
  return (
    <tr>
      <th scope="row">
        <Mark tone={states.includes('failed') ? 'trouble' : 'well'} /> {name}
      </th>
      <td>{first?.type}</td>
      <td>{states.join(', ')}</td>
      <td class="number">{all.length}</td>
      <td class="number" title={[...new Set(all.flatMap(({ queues }) => queues))].join('\n')}>
        {new Set(all.flatMap(({ queues }) => queues)).size}
      </td>
      <td class="number">{sum(({ perSecond }) => perSecond)}</td>
      <td class="number">{sum(({ inFlight }) => inFlight)}</td>
      <td class="number">{sum(({ restarts }) => restarts)}</td>
      <td>
        {error !== undefined && (
          <>
            {error.message} (<Ago at={error.at} />)
          </>
        )}
      </td>
    </tr>
  );
}

function Threads({ threads }: Pick<NodePart, 'threads'>): VNode {
  return (
    <Table label="Threads" head={['Thread', 'Group', 'State', 'Connections', '#Heap', '#Served', '#Refused or failed']}>
      {threads.map(({ thread, group, state, answers, connections, heapMb, served, failed }) => (
        <tr key={thread}>
          <th scope="row">
            <Mark tone={state === 'ready' && answers ? 'well' : 'attention'} /> {thread}
          </th>
          <td>{group}</td>
          <td>{answers ? state : `${state}, does not answer`}</td>
          <td>{connectionWords(connections)}</td>
          <td class="number">{heapMb === undefined ? '–' : `${String(heapMb)} MB`}</td>
          <td class="number">{served.toLocaleString('en')}</td>
          <td class="number">{failed.toLocaleString('en')}</td>
        </tr>
      ))}
    </Table>
  );
}

function connectionWords(connections: Readonly<Record<string, string>>): string {
  const states = new Set(Object.values(connections));
  const [only] = states;
  if (states.size <= 1) return only ?? '';
  return Object.entries(connections)
    .map(([name, state]) => `${name} ${state}`)
    .join(', ');
}

function Stores({ stores }: Pick<NodePart, 'stores'>): VNode {
  if (stores.length === 0) return <Empty>It opens no store.</Empty>;
  return (
    <Table label="Stores" head={['Store', 'Kind', 'State', '#Connections in use', '#Calls that wait', 'Last error']}>
      {stores.map(({ store, kind, up, inUse, most, waiting, lastError }) => (
        <tr key={store}>
          <th scope="row">
            <Mark tone={up ? 'well' : 'trouble'} /> {store}
          </th>
          <td>{kind}</td>
          <td>{up ? 'reached' : 'away'}</td>
          <td class="number">
            {inUse} of {most}
          </td>
          <td class="number">{waiting}</td>
          <td>{lastError}</td>
        </tr>
      ))}
    </Table>
  );
}
