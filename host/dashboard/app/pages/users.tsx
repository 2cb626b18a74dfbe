import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Me, Problem, SessionPart, UserPart } from '../../contract.js';
import { api, problemOf } from '../api.js';
import { useAsked } from '../asked.js';
import { type Asked, Dialog } from '../dialog.js';
import { Ago, Empty, Loading, Mark, Missing, ProblemBox, Table, Title } from '../parts.js';
import { count } from '../words.js';

const LOOK_MS = 10_000;

interface UsersProps {
  readonly me: Me;
  readonly ask: (asked: Asked) => void;
  readonly onDone: (words: string) => void;
}

/** Who may sign in, what he may, and where he is signed in. */
export function Users({ me, ask, onDone }: UsersProps): VNode {
  const { answer: users, problem, again } = useAsked(() => api.users(), { about: '', everyMs: LOOK_MS });
  const [roles, setRoles] = useState<UserPart>();
  const [shown, setShown] = useState<UserPart>();
  const [isMaking, setMaking] = useState(false);
  const done = (words: string): void => {
    setRoles(undefined);
    setMaking(false);
    onDone(words);
    again();
  };
  const askAndLook = (asked: Asked): void => ask({ ...asked, give: async () => asked.give().finally(again) });
  return (
    <>
      <Title document="Users">Users</Title>
      <p class="standing">Who may sign in, and what each may: a viewer looks, an operator orders, a dba does all.</p>
      <div class="actions">
        <button onClick={() => setMaking(true)}>New user …</button>
      </div>
      {problem !== undefined && <Missing problem={problem} />}
      {users === undefined && problem === undefined && <Loading />}
      {users?.length === 0 && <Empty>There are none. `beds users create` makes the first.</Empty>}
      {users !== undefined && users.length > 0 && (
        <Table label="Users" head={['Name', 'Roles', 'State', 'Since', 'Password set', '']}>
          {users.map((user) => (
            <tr key={user.id}>
              <th scope="row">
                {user.name}
                {user.id === me.id && <span class="tag">you</span>}
              </th>
              <td>{user.roles.join(', ') || 'none'}</td>
              <td>
                <Mark tone={user.disabled ? 'quiet' : 'well'} words="" /> {user.disabled ? 'disabled' : 'may sign in'}
              </td>
              <td>
                <Ago at={new Date(user.created_at).toISOString()} />
              </td>
              <td>
                <Ago at={new Date(user.password_at).toISOString()} />
              </td>
              <td class="row-actions">
                <button onClick={() => setRoles(user)}>Roles …</button>
                <button onClick={() => setShown(user)}>Sessions …</button>
                <button onClick={() => askAndLook(user.disabled ? askEnable(user) : askDisable(user))}>
                  {user.disabled ? 'Enable …' : 'Disable …'}
                </button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {roles !== undefined && <Roles user={roles} onClose={() => setRoles(undefined)} onDone={done} />}
      {isMaking && <NewUser onClose={() => setMaking(false)} onDone={done} />}
      {shown !== undefined && <Sessions user={shown} me={me} onClose={() => setShown(undefined)} />}
    </>
  );
}

function askDisable({ id, name }: UserPart): Asked {
  return {
    title: `Disable ${name}?`,
    effects: [
      `${name} is signed out everywhere and cannot sign in any more.`,
      'What belongs to the user stays as it is.',
    ],
    verb: `Disable ${name}`,
    give: async () => {
      await api.user('disable', id);
      return { words: `${name} is disabled.` };
    },
  };
}

function askEnable({ id, name }: UserPart): Asked {
  return {
    title: `Enable ${name}?`,
    effects: [`${name} may sign in again, with the roles and the password from before.`],
    verb: `Enable ${name}`,
    give: async () => {
      await api.user('enable', id);
      return { words: `${name} may sign in again.` };
    },
  };
}

const OWN_ROLES = [
  ['viewer', 'looks at everything here'],
  ['operator', 'deploys, rolls back, sends dead letters again, manages users'],
  ['dba', 'all that an operator may'],
] as const;

interface FormProps {
  readonly onClose: () => void;
  readonly onDone: (words: string) => void;
}

function RoleFields({ roles }: { readonly roles: readonly string[] }): VNode {
  const others = roles.filter((role) => !OWN_ROLES.some(([own]) => own === role));
  return (
    <fieldset>
      <legend>Roles</legend>
      {OWN_ROLES.map(([role, words]) => (
        <label class="row" key={role}>
          <input type="checkbox" name="role" value={role} defaultChecked={roles.includes(role)} />
          <strong>{role}</strong> <span class="note">{words}</span>
        </label>
      ))}
      <label>
        Roles of applications, with commas between
        <input name="others" defaultValue={others.join(', ')} maxLength={1_000} autoComplete="off" />
      </label>
    </fieldset>
  );
}

function rolesOf(form: FormData): readonly string[] {
  const others = textOf(form, 'others')
    .split(',')
    .map((role) => role.trim())
    .filter((role) => role !== '');
  return [...new Set([...form.getAll('role').map(String), ...others])];
}

export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

/** What a form sends; stays open with the reason where it was refused. */
export function useSent(onDone: (words: string) => void): {
  readonly problem: Problem | undefined;
  readonly isBusy: boolean;
  readonly send: (event: SubmitEvent, work: (form: FormData) => Promise<string>) => void;
} {
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const send = (event: SubmitEvent, work: (form: FormData) => Promise<string>): void => {
    event.preventDefault();
    setBusy(true);
    work(new FormData(event.currentTarget as HTMLFormElement))
      .then(onDone, (error: unknown) => setProblem(problemOf(error)))
      .finally(() => setBusy(false));
  };
  return { problem, isBusy, send };
}

export function Buttons({
  verb,
  isBusy,
  onClose,
}: {
  readonly verb: string;
  readonly isBusy: boolean;
  readonly onClose: () => void;
}): VNode {
  return (
    <div class="buttons">
      <button type="button" onClick={onClose}>
        Leave it as it is
      </button>
      <button class="primary" disabled={isBusy}>
        {verb}
      </button>
    </div>
  );
}

function Roles({ user, onClose, onDone }: FormProps & { readonly user: UserPart }): VNode {
  const { problem, isBusy, send } = useSent(onDone);
  const save = async (form: FormData): Promise<string> => {
    const roles = rolesOf(form);
    await api.user('setRoles', user.id, { roles });
    return `${user.name} has ${roles.length === 0 ? 'no role' : `the roles ${roles.join(', ')}`} now.`;
  };
  return (
    <Dialog title={`Roles of ${user.name}`} onClose={onClose}>
      <p>They count from the next request of {user.name} on.</p>
      <form onSubmit={(event) => send(event, save)}>
        <RoleFields roles={user.roles} />
        {problem !== undefined && <ProblemBox problem={problem} />}
        <Buttons verb={`Set the roles of ${user.name}`} {...{ isBusy, onClose }} />
      </form>
    </Dialog>
  );
}

function NewUser({ onClose, onDone }: FormProps): VNode {
  const { problem, isBusy, send } = useSent(onDone);
  const make = async (form: FormData): Promise<string> => {
    const name = textOf(form, 'name').trim();
    await api.user('create', 'new', { name, password: textOf(form, 'password'), roles: rolesOf(form) });
    return `${name} may sign in.`;
  };
  return (
    <Dialog title="New user" onClose={onClose}>
      <form onSubmit={(event) => send(event, make)}>
        <label>
          Name
          <input name="name" required maxLength={100} autoComplete="off" />
        </label>
        <label>
          First password, at least 8 characters
          <input name="password" type="password" required minLength={8} maxLength={200} autoComplete="new-password" />
        </label>
        <RoleFields roles={[]} />
        {problem !== undefined && <ProblemBox problem={problem} />}
        <Buttons verb="Make the user" {...{ isBusy, onClose }} />
      </form>
    </Dialog>
  );
}

interface SessionsProps {
  readonly user: UserPart;
  readonly me: Me;
  readonly onClose: () => void;
}

/** Where somebody is signed in; each session, or all of them, can be ended. */
function Sessions({ user, me, onClose }: SessionsProps): VNode {
  const { answer: sessions, problem, again } = useAsked(() => api.sessions(user.id), { about: user.id });
  const [failed, setFailed] = useState<Problem>();
  const end = (op: 'endSession' | 'endSessions', id: string): void => {
    setFailed(undefined);
    api
      .user(op, id)
      .catch((error: unknown) => setFailed(problemOf(error)))
      .finally(again);
  };
  // n.b. the domain ends a single one for who is signed in himself, not for the key of a host.
  const mayEndOne = me.id !== '';
  return (
    <Dialog title={`Sessions of ${user.name}`} onClose={onClose}>
      {problem !== undefined && <Missing problem={problem} />}
      {failed !== undefined && <ProblemBox problem={failed} />}
      {sessions === undefined && problem === undefined && <Loading />}
      {sessions?.length === 0 && <Empty>{user.name} is signed in nowhere.</Empty>}
      {sessions !== undefined && sessions.length > 0 && (
        <Table label={`Sessions of ${user.name}`} head={['Where', 'Since', 'Last used', '']}>
          {sessions.map((session) => (
            <tr key={session.id}>
              <th scope="row" class="long">
                {placeOf(session)}
              </th>
              <td>
                <Ago at={new Date(session.created_at).toISOString()} />
              </td>
              <td>
                <Ago at={new Date(session.refreshed_at || session.created_at).toISOString()} />
              </td>
              <td>{mayEndOne && <button onClick={() => end('endSession', session.id)}>End</button>}</td>
            </tr>
          ))}
        </Table>
      )}
      <div class="buttons">
        <button onClick={onClose}>Close</button>
        {sessions !== undefined && sessions.length > 0 && (
          <button class="danger" onClick={() => end('endSessions', user.id)}>
            End {count(sessions.length, 'session')}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function placeOf({ place }: SessionPart): string {
  const words = [place?.address, place?.device].filter((text) => text !== undefined && text !== null && text !== '');
  return words.join(', ') || 'not said';
}
