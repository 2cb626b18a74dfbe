import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isBedsError } from '@beds/sdk';
import type { RequestEnvelope } from '#sdk/template';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { installPika } from './support/pika-caller.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

/** One request and what its reply must have; a reply may have more. */
interface Case {
  readonly name: string;
  readonly request: Pick<RequestEnvelope, 'op' | 'payload' | 'query' | 'key'> & { readonly all?: boolean };
  readonly reply: object;
}

type Ask = (request: Case['request']) => Promise<unknown>;

const CLIENTS = fileURLToPath(new URL('../../sdk/docs/clients/', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../test/fixtures/clients/', import.meta.url));
const CASES = JSON.parse(readFileSync(join(CLIENTS, 'protocol-cases.json'), 'utf8')) as readonly Case[];
const INSTALL_TIMEOUT_MS = 120_000;
const run = promisify(execFile);

const OPERATIONS = {
  echo: { mode: 'read', args: { value: { type: 'json' } }, run: 'return input.value;' },
  nothing: { mode: 'read', run: `return 'nothing';` },
} as const;

const GO_SUM = `github.com/rabbitmq/amqp091-go v1.10.0 h1:STpn5XsHlHGcecLmMFCtg7mqq0RnD+zFr4uzukfVhBw=
github.com/rabbitmq/amqp091-go v1.10.0/go.mod h1:Hy4jKW5kQART1u+JkDTF9YYOQUHXqMuhrgxOEeS7G4o=
`;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>beds</groupId><artifactId>cases</artifactId><version>1</version><dependencies>
<dependency><groupId>com.rabbitmq</groupId><artifactId>amqp-client</artifactId><version>5.22.0</version></dependency>
<dependency><groupId>com.google.code.gson</groupId><artifactId>gson</artifactId><version>2.11.0</version></dependency>
</dependencies></project>`;

const services = await sharedServices(['rabbitmq', 'mariadb']);
const host = await startTestHost({ after }, { services });
await writeBundle(host.pluginsDirectory, notesBundle({ operations: OPERATIONS }));
await host.active('notes', '1.0.0');

/** A program that answers lines of requests with lines of replies, or why there is none. */
interface Language {
  readonly name: string;
  readonly build: (folder: string) => Promise<readonly [command: string, ...args: string[]] | string>;
}

const LANGUAGES: readonly Language[] = [
  {
    name: 'Python',
    build: async (folder) => {
      const pika = await installPika(folder);
      if ('whyNot' in pika) return pika.whyNot;
      return ['env', `PYTHONPATH=${pika.packages}`, 'python3', take(folder, 'beds.py', 'cases.py')];
    },
  },
  {
    name: 'Go',
    build: async (folder) => {
      mkdirSync(join(folder, 'beds'));
      copyFileSync(join(CLIENTS, 'beds.go'), join(folder, 'beds', 'beds.go'));
      copyFileSync(join(FIXTURES, 'cases.go'), join(folder, 'cases.go'));
      const module = 'module cases\n\ngo 1.24\n\nrequire github.com/rabbitmq/amqp091-go v1.10.0\n';
      writeFileSync(join(folder, 'go.mod'), module);
      writeFileSync(join(folder, 'go.sum'), GO_SUM);
      await run('go', ['vet', './...'], { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
      await run('go', ['build', '-o', 'cases', '.'], { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
      return [join(folder, 'cases')];
    },
  },
  {
    name: 'Java',
    build: async (folder) => {
      writeFileSync(join(folder, 'pom.xml'), POM);
      const goal = ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'];
      await run('mvn', goal, { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
      take(folder, 'Beds.java', 'Cases.java');
      const path = `${join(folder, 'lib', '*')}:${folder}`;
      await run('javac', ['-Werror', '-cp', path, 'Beds.java', 'Cases.java'], {
        cwd: folder,
        timeout: INSTALL_TIMEOUT_MS,
      });
      return ['java', '-Xmx128m', '-cp', path, 'Cases'];
    },
  },
  {
    name: 'PHP',
    build: async (folder) => {
      const library = ['require', '--quiet', '--no-interaction', 'php-amqplib/php-amqplib:^3.7'];
      const isThere = await run('php', [
        '-r',
        `exit((int) !stream_resolve_include_path('PhpAmqpLib/autoload.php'));`,
      ]).then(
        () => true,
        (error: unknown) => {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
          return false;
        },
      );
      if (!isThere) await run('composer', library, { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
      return ['php', take(folder, 'Beds.php', 'cases.php')];
    },
  },
];

/** Copies the client and its program; gives the path of the program. */
function take(folder: string, client: string, program: string): string {
  copyFileSync(join(CLIENTS, client), join(folder, client));
  copyFileSync(join(FIXTURES, program), join(folder, program));
  return join(folder, program);
}

/** Runs the cases in order: some see what others made. */
async function askAll(ask: Ask): Promise<void> {
  for (const { name, request, reply } of CASES) {
    const answer = await ask(request);
    assert.ok(has(answer, reply), `${name}: ${JSON.stringify(answer)} has not ${JSON.stringify(reply)}`);
  }
}

function has(answer: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return Object.is(answer, wanted);
  if (typeof answer !== 'object' || answer === null) return false;
  if (Array.isArray(wanted) && (!Array.isArray(answer) || answer.length !== wanted.length)) return false;
  return Object.entries(wanted).every(([name, value]) => has((answer as Record<string, unknown>)[name], value));
}

describe('the cases of the protocol', { timeout: 400_000 }, () => {
  const fill = async (): Promise<void> => {
    await host.dba.query('DELETE FROM note');
    const notes = (await host.connectClient()).domain('notes');
    for (const text of ['1', '2', '3', '4', '5']) await notes.create({ text, mark: 'page' });
  };

  it('hold for the client of the SDK', async () => {
    await fill();
    const beds = await host.connectClient();
    const notes = beds.domain('notes');
    let count = 0;
    await askAll(async ({ all, op, ...members }) => {
      try {
        if (all === true) {
          const rows: unknown[] = [];
          for await (const page of notes.fetchAll(members.query ?? {})) rows.push(...page.rows);
          return { data: rows };
        }
        const reply = await beds.request({ v: 1, id: `case-${String((count += 1))}`, domain: 'notes', op, ...members });
        return reply;
      } catch (error) {
        assert.ok(isBedsError(error));
        return { error };
      }
    });
  });

  for (const { name, build } of LANGUAGES) {
    it(`hold for the client in ${name}`, async (t) => {
      const built = await build(temporaryDirectory(t)).catch((error: unknown) => {
        const { code, stderr, message } = error as { code?: unknown; stderr?: string; message: string };
        // A toolchain that is not here, or packages that cannot be had, are no fault of the client's.
        if (code === 'ENOENT' || /proxy|resolve|unreachable|connect|timed? ?out/i.test(stderr ?? message))
          return message;
        throw new Error(`${message}\n${stderr ?? ''}`);
      });
      if (typeof built === 'string') {
        t.skip(`no ${name} with its RabbitMQ library here: ${built.split('\n')[0] ?? ''}`);
        return;
      }
      await fill();
      const [command, ...args] = built;
      const { url } = host.config.amqp;
      const program = spawn(command, [...args, url, `${host.prefix}.request`], { stdio: ['pipe', 'pipe', 'inherit'] });
      t.after(() => program.kill());
      const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
      await askAll(async (request) => {
        program.stdin.write(`${JSON.stringify(request)}\n`);
        const line = await lines.next();
        assert.ok(line.done !== true, 'the program ended');
        return JSON.parse(line.value) as unknown;
      });
      program.stdin.end();
    });
  }
});
