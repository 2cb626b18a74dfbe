import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaunchPlan, ServerPlace, ServiceContext } from '../contract.js';
import { makePrivateFolder } from '../private-file.js';
import { findProgram, searchPath } from '../provision/find-program.js';
import { cacheFolder, cachedFolder, hasCachedFolder } from '../provision/package-cache.js';
import { runChecked } from '../provision/run-command.js';
import { mongodbUrl } from './mongod.js';
import { checkJars } from './jars.js';
import { probeMongodb } from './probe.js';

const VERSION = '1.47.0';
const MAVEN_TIMEOUT_MS = 300_000;
const COMPILE_TIMEOUT_MS = 60_000;

export interface JavaServer {
  readonly java: string;
  /** Holds lib/ (the jars) and classes/ (our launcher). */
  readonly folder: string;
}

/** mongo-java-server from Maven's central registry; undefined without a JDK and Maven. */
export async function findJavaServer(context: ServiceContext): Promise<JavaServer | undefined> {
  const path = searchPath(context.provision);
  const java = findProgram(['java'], path);
  if (java === undefined) return undefined;
  const launcher = locateLauncher();
  const hash = createHash('sha256').update(readFileSync(launcher)).digest('hex').slice(0, 12);
  const key = `mongo-java-server-${VERSION}-${hash}`;
  const cache = cacheFolder(context);
  const maven = findProgram(['mvn'], path);
  const compiler = findProgram(['javac'], path);
  const isCached = hasCachedFolder(cache, key);
  if (!isCached && (maven === undefined || compiler === undefined || context.provision.downloads === false)) {
    return undefined;
  }
  const folder = await cachedFolder({ cache, key, context }, async (draft) => {
    context.progress('downloading', 'downloading a MongoDB-speaking server (first time only, 6 MB)');
    writeFileSync(join(draft, 'pom.xml'), POM);
    const goal = ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'];
    const { signal } = context;
    await runChecked(maven ?? 'mvn', { args: goal, cwd: draft, timeoutMs: MAVEN_TIMEOUT_MS, signal });
    checkJars(join(draft, 'lib'));
    mkdirSync(join(draft, 'classes'));
    const args = ['-cp', join(draft, 'lib', '*'), '-d', join(draft, 'classes'), launcher];
    await runChecked(compiler ?? 'javac', { args, timeoutMs: COMPILE_TIMEOUT_MS, signal });
  });
  checkJars(join(folder, 'lib'));
  return { java, folder };
}

export function planJavaServer(server: JavaServer, place: ServerPlace): LaunchPlan {
  const [port = 0] = place.ports;
  const data = join(makePrivateFolder(join(place.folder, 'data-java')), 'beds.mv');
  const url = mongodbUrl(port);
  const classPath = [join(server.folder, 'lib', '*'), join(server.folder, 'classes')].join(':');
  const jvm = ['-Xmx512m', '-XX:+UseSerialGC', '-Djava.net.preferIPv4Stack=true'];
  const args = [...jvm, '-cp', classPath, 'Launcher', String(port), data];
  const env = { PATH: '/usr/bin:/bin', HOME: place.folder, LANG: 'C.UTF-8' };
  return {
    url,
    port,
    commands: [{ command: server.java, args, env, cwd: place.folder }],
    probe: () => probeMongodb(url, port),
  };
}

// Java sources are not copied to the compiled tree: look beside this file, then upwards for the source tree.
function locateLauncher(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, 'Launcher.java');
  if (existsSync(beside)) return beside;
  let folder = here;
  for (;;) {
    const file = join(folder, 'host', 'dev-servers', 'mongodb', 'Launcher.java');
    if (existsSync(file) || dirname(folder) === folder) return file;
    folder = dirname(folder);
  }
}

const dependency = (artifact: string): string =>
  `<dependency><groupId>de.bwaldvogel</groupId><artifactId>${artifact}</artifactId><version>${VERSION}</version></dependency>`;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>beds</groupId><artifactId>mongodb</artifactId><version>1</version>
  <dependencies>${dependency('mongo-java-server')}${dependency('mongo-java-server-h2-backend')}</dependencies>
</project>
`;
