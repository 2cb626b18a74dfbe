import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { instrumentAll } from './hop-instrument.js';
import type { TestHost } from './host.js';
import { lastFirst, type Teardown, temporaryDirectory } from './services.js';

/** The way through one thread of the host. */
export interface Hops {
  /** Functions of the host that were entered: methods, accessors, constructors that are written out, and arrow functions as well. */
  readonly calls: number;
  /** How often the function that was entered next stands in another file than the one before. */
  readonly hops: number;
  /** Files whose functions were entered, in the order of their first. */
  readonly files: readonly string[];
  /** `file name`, one for each call. */
  readonly way: readonly string[];
}

/** All that followed from one timer, or from none; in the form of `Hops.way`. */
export interface Course {
  readonly isOfTimer: boolean;
  readonly way: readonly string[];
}

export interface TracedHost {
  /**
   * What each thread entered while `work` ran, and after it until a pause; by the number of the thread, 0: the supervisor.
   * Courses of a thread that `isApart` names are left out.
   */
  during(work: () => Promise<unknown>, isApart?: (course: Course) => boolean): Promise<ReadonlyMap<number, Hops>>;
}

/** A pause that ends what `work` caused. n.b. longer than replies wait to be looked at again, and less than what a host asks itself every second. */
const PAUSE_MS = 150;

/** Starts what `host` was, after that was stopped, in a process in which every function of the host tells that it is entered. */
export async function startTracedHost(teardown: Teardown, { config, pluginsDirectory }: TestHost): Promise<TracedHost> {
  const directory = temporaryDirectory(teardown);
  const ways = join(directory, 'ways');
  mkdirSync(ways);
  instrumentAll(fileURLToPath(new URL('../../host/', import.meta.url)), join(directory, 'copies'));
  const child = fork(new URL('./host-process-main.js', import.meta.url), [], {
    execArgv: ['--import', new URL('./hop-tracer.js', import.meta.url).href],
    env: { ...process.env, BEDS_HOPS: directory },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  lastFirst(teardown, async () => {
    child.kill('SIGKILL');
    await ended;
  });
  child.send({ config, projectRoot: dirname(pluginsDirectory) });
  const [word] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
  assert.equal(word, 'serving');
  return {
    during: async (work, isApart = () => false) => {
      const sinceMs = Date.now();
      await work();
      const doneMs = Date.now();
      await delay(3 * PAUSE_MS);
      return new Map(
        [...readWays(ways, sinceMs, doneMs)].map(([thread, entered]) => [thread, hopsOf(without(entered, isApart))]),
      );
    },
  };
}

/** A function that was entered, and the number of the timer that it follows from. */
interface Entered {
  readonly timer: string;
  readonly place: string;
}

function readWays(directory: string, sinceMs: number, doneMs: number): ReadonlyMap<number, readonly Entered[]> {
  const ways = new Map<number, readonly Entered[]>();
  for (const name of readdirSync(directory)) {
    const way: Entered[] = [];
    let lastMs = doneMs;
    for (const line of readFileSync(join(directory, name), 'utf8').split('\n')) {
      const [at = '', timer = '', ...place] = line.split(' ');
      const atMs = Number.parseInt(at, 10);
      if (atMs >= lastMs + PAUSE_MS) break;
      lastMs = Math.max(lastMs, atMs);
      if (atMs >= sinceMs) way.push({ timer, place: place.join(' ') });
    }
    if (way.length > 0) ways.set(Number(/-(\d+)\.hops$/.exec(name)?.[1]), way);
  }
  return ways;
}

function without(entered: readonly Entered[], isApart: (course: Course) => boolean): readonly string[] {
  const courses = new Map<string, string[]>();
  for (const { timer, place } of entered) {
    const course = courses.get(timer) ?? [];
    course.push(place);
    courses.set(timer, course);
  }
  const apart = new Set(
    [...courses].flatMap(([timer, way]) => (isApart({ isOfTimer: timer !== '0', way }) ? [timer] : [])),
  );
  return entered.flatMap(({ timer, place }) => (apart.has(timer) ? [] : [place]));
}

function hopsOf(way: readonly string[]): Hops {
  const files = way.map((entered) => entered.slice(0, entered.indexOf(' ')));
  return {
    calls: way.length,
    hops: files.filter((file, index) => index > 0 && file !== files[index - 1]).length,
    files: [...new Set(files)],
    way,
  };
}

/** Whichever took the fewest hops: what else the host did meanwhile only adds to it. */
export function leastHops(ways: readonly Hops[]): Hops {
  const [least] = ways.toSorted((a, b) => a.hops - b.hops);
  assert.ok(least, 'nothing was traced');
  return least;
}
