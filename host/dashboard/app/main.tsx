import { render, type VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Me, OrderOutcome, Problem, Role, SignedIn as SignedInAs } from '../contract.js';
import { api, problemOf, Refused } from './api.js';
import { Deploy, DropPlace, filesOf } from './deploy.js';
import { type Asked, Confirm, type Done } from './dialog.js';
import { type State, startLive, stopLive, useLive } from './live.js';
import { Audit } from './pages/audit.js';
import { DeadLetters } from './pages/dead.js';
import { DesignPage, Designs } from './pages/designs.js';
import { DomainPage } from './pages/domain.js';
import { Faults } from './pages/faults.js';
import { Graphs } from './pages/graphs.js';
import { Logs } from './pages/logs.js';
import { Nodes } from './pages/nodes.js';
import { Objects } from './pages/objects.js';
import { HEALTH_TONE, Overview, toneOf } from './pages/overview.js';
import { SignIn } from './pages/sign-in.js';
import { Users } from './pages/users.js';
import { Empty, Mark, Title, To, Words } from './parts.js';
import { usePath } from './route.js';
import { setTheme, useTheme } from './theme.js';

interface Standing {
  readonly me?: Me;
  readonly maxBundleBytes?: number;
  readonly problem?: Problem;
  readonly hasEnded?: boolean;
  readonly isKnown: boolean;
}

/** The key that the address carried, once: it stays in no history. */
function takeKey(): string | undefined {
  const [, key] = /^#key=([\w-]+)$/.exec(location.hash) ?? [];
  if (key !== undefined) history.replaceState(null, '', location.pathname);
  return key;
}

async function whoIsSignedIn(key: string | undefined): Promise<Standing> {
  try {
    return { ...(await (key === undefined ? api.me() : api.signInByKey(key))), isKnown: true };
  } catch (error) {
    const isPlain = error instanceof Refused && error.isSignedOut && key === undefined;
    return { isKnown: true, ...(isPlain ? {} : { problem: problemOf(error) }) };
  }
}

const key = takeKey();

function App(): VNode {
  const [{ me, maxBundleBytes = 0, problem, hasEnded = false, isKnown }, setStanding] = useState<Standing>({
    isKnown: false,
  });
  useEffect(() => {
    void whoIsSignedIn(key).then(setStanding);
  }, []);
  if (!isKnown) return <main id="main" class="sign-in" aria-busy="true" />;
  if (me === undefined) {
    const onSignedIn = (signedIn: SignedInAs): void => setStanding({ ...signedIn, isKnown: true });
    return <SignIn hasEnded={hasEnded} {...(problem && { problem })} onSignedIn={onSignedIn} />;
  }
  return <SignedIn {...{ me, maxBundleBytes }} onEnd={(ended) => setStanding({ isKnown: true, hasEnded: ended })} />;
}

function mayOrder({ role }: Me): boolean {
  return role === 'operator' || role === 'dba';
}

interface SignedInProps extends SignedInAs {
  /** `true`: not by the person. */
  readonly onEnd: (hasEnded: boolean) => void;
}

function SignedIn({ me, maxBundleBytes, onEnd }: SignedInProps): VNode {
  const live = useLive();
  const path = usePath();
  const [asked, setAsked] = useState<Asked>();
  const [files, setFiles] = useState<readonly File[]>();
  const [told, setTold] = useState<string>();
  useEffect(() => {
    startLive(() => onEnd(true));
    return stopLive;
  }, []);
  useEffect(() => setTold(undefined), [path]);
  useDrop(mayOrder(me), setFiles);
  const onGiven = (outcome: OrderOutcome | Done): void => {
    setAsked(undefined);
    setFiles(undefined);
    setTold(wordsOf(outcome));
  };
  const leave = (): void => {
    stopLive();
    void api.signOut().finally(() => onEnd(false));
  };
  const drop = mayOrder(me) ? <DropPlace onFiles={setFiles} /> : null;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Sidebar live={live} me={me} path={path} onLeave={leave} />
      <main id="main">
        <Silence live={live} />
        <p class="told" role="status">
          {told !== undefined && (
            <>
              <Words text={told} /> <button onClick={() => setTold(undefined)}>Dismiss</button>
            </>
          )}
        </p>
        <Page {...{ live, me, path, ask: setAsked, drop }} onDone={setTold} />
      </main>
      {asked !== undefined && <Confirm asked={asked} onClose={() => setAsked(undefined)} onGiven={onGiven} />}
      {files !== undefined && (
        <Deploy
          {...{ files, maxBundleBytes }}
          domains={live.domains}
          onClose={() => setFiles(undefined)}
          onGiven={onGiven}
        />
      )}
    </>
  );
}

interface PageProps {
  readonly live: State;
  readonly me: Me;
  readonly path: string;
  readonly ask: (asked: Asked) => void;
  readonly drop: VNode | null;
  /** Says what was done. */
  readonly onDone: (words: string) => void;
}

function Page({ live, me, path, ask, drop, onDone }: PageProps): VNode {
  const [, domain] = /^\/domains\/([a-z0-9-]+)$/.exec(path) ?? [];
  const [, design] = /^\/designs\/([a-z0-9-]+)$/.exec(path) ?? [];
  if (me.role === undefined) {
    return (
      <>
        <Title document="No role">You may not look yet</Title>
        <Empty>{me.name} has none of the roles viewer, operator and dba. An operator can give it.</Empty>
      </>
    );
  }
  if (path === '/') return <Overview live={live} deploy={drop} />;
  if (path === '/logs') return <Logs live={live} />;
  if (path === '/faults') return <Faults live={live} />;
  if (path === '/graphs') return <Graphs live={live} />;
  if (path === '/objects') return <Objects />;
  if (path === '/users' && mayOrder(me)) return <Users {...{ me, ask, onDone }} />;
  if (path === '/designs') return <Designs {...{ live, me, onDone }} />;
  if (design !== undefined) return <DesignPage key={design} name={design} {...{ live, me, ask, onDone }} />;
  if (path === '/dead') return <DeadLetters me={me} ask={ask} />;
  if (path === '/audit') return <Audit />;
  if (path === '/nodes') return <Nodes live={live} />;
  if (domain !== undefined) return <DomainPage key={domain} name={domain} {...{ live, me, ask, drop }} />;
  return (
    <>
      <Title document="No such page">There is no such page</Title>
      <p>
        <To path="/">Begin at the overview</To>
      </p>
    </>
  );
}

/** Files that are dropped anywhere on the page. */
function useDrop(isAllowed: boolean, onFiles: (files: readonly File[]) => void): void {
  useEffect(() => {
    const over = (event: DragEvent): void => event.preventDefault();
    const drop = (event: DragEvent): void => {
      event.preventDefault();
      if (!isAllowed || event.dataTransfer === null) return;
      void filesOf(event.dataTransfer).then((files) => files.length > 0 && onFiles(files));
    };
    addEventListener('dragover', over);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('drop', drop);
    };
  }, [isAllowed]);
}

function wordsOf(outcome: OrderOutcome | Done): string {
  if ('words' in outcome) return outcome.words;
  const { accepted } = outcome;
  const words = new Set(accepted.flatMap(({ receipts }) => receipts.map((receipt) => receipt.words)));
  const nodes = accepted.length === 1 ? accepted[0]?.node : `${String(accepted.length)} nodes`;
  return `${nodes ?? ''}: ${[...words].join(' ')}`;
}

function Silence({ live: { silentSinceMs } }: { readonly live: State }): VNode | null {
  if (silentSinceMs === undefined) return null;
  return (
    <div class="problem" role="alert">
      <p>
        <strong>The dashboard does not answer.</strong> What you see is from{' '}
        {new Date(silentSinceMs).toLocaleTimeString()}. It goes on by itself when it answers again.
      </p>
    </div>
  );
}

interface SidebarProps {
  readonly live: State;
  readonly me: Me;
  readonly path: string;
  readonly onLeave: () => void;
}

const PAGES = [
  ['/', 'Overview'],
  ['/nodes', 'Nodes'],
  ['/faults', 'Faults'],
  ['/logs', 'Logs'],
  ['/graphs', 'Graphs'],
  ['/objects', 'Database objects'],
  ['/designs', 'Designs'],
  ['/dead', 'Dead letters'],
  ['/users', 'Users'],
  ['/audit', 'Audit'],
] as const;

const ROLE_WORDS: Readonly<Record<Role, string>> = {
  viewer: 'viewer: may look',
  operator: 'operator: may give orders',
  dba: 'dba: may give orders and change databases',
};

function Sidebar({ live, me, path, onLeave }: SidebarProps): VNode {
  const { domains, summary } = live;
  const theme = useTheme();
  return (
    <header class="side">
      <p class="brand">
        BEDS <Mark tone={HEALTH_TONE[summary?.health ?? 'unknown']} />
      </p>
      <nav aria-label="Pages">
        <ul>
          {PAGES.filter(([to]) => to !== '/users' || mayOrder(me)).map(([to, name]) => (
            <li key={to}>
              <To path={to} current={path === to}>
                {name}
              </To>
            </li>
          ))}
        </ul>
        <ul class="domains" aria-label="Domains">
          {domains.map((part) => (
            <li key={part.domain}>
              <To path={`/domains/${part.domain}`} current={path === `/domains/${part.domain}`}>
                <Mark tone={toneOf(part)} /> {part.domain}
              </To>
            </li>
          ))}
        </ul>
      </nav>
      <div class="person">
        <p>
          <small>{me.id === '' ? 'Signed in with' : 'Signed in as'}</small> {me.name}
          {me.role !== undefined && <small>{ROLE_WORDS[me.role]}</small>}
        </p>
        <label class="row">
          <small>Colours</small>
          <select value={theme} onChange={(event) => setTheme(event.currentTarget.value)}>
            <option value="">as on this device</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
        <button class="quiet" onClick={onLeave}>
          Sign out
        </button>
      </div>
    </header>
  );
}

const page = document.getElementById('page');
if (page !== null) {
  page.replaceChildren();
  render(<App />, page);
}
