import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { servicesErrors } from '../errors/dev-servers.js';
import type { ServerCommand, ServerPlace, ServiceContext } from './contract.js';
import { findProgram, searchPath, runCommand } from './provision/programs.js';
import { cacheFolder, cachedFolder, hasCachedFolder } from './provision/package-cache.js';
import { makePrivateFolder } from './server-folder.js';

const VERSION = '1.47.0';
const MAVEN_TIMEOUT_MS = 300_000;
const COMPILE_TIMEOUT_MS = 60_000;
/** n.b. Java sources are not copied to the compiled tree. */
const LAUNCHER = fileURLToPath(new URL('../../../host/dev-servers/Launcher.java', import.meta.url));

interface JavaServer {
  readonly java: string;
  /** Holds lib/ (the jars) and classes/ (our launcher). */
  readonly folder: string;
}

/** mongo-java-server from Maven's central registry; undefined without a JDK and Maven. */
export async function provideJavaServer(context: ServiceContext): Promise<JavaServer | undefined> {
  const path = searchPath(context.provision);
  const java = findProgram(['java'], path);
  if (java === undefined) return undefined;
  const key = `mongo-java-server-${VERSION}-${sha256(LAUNCHER).slice(0, 12)}`;
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
    await runCommand(maven ?? 'mvn', { args: goal, cwd: draft, timeoutMs: MAVEN_TIMEOUT_MS, signal });
    checkJars(join(draft, 'lib'));
    mkdirSync(join(draft, 'classes'));
    const args = ['-cp', join(draft, 'lib', '*'), '-d', join(draft, 'classes'), LAUNCHER];
    await runCommand(compiler ?? 'javac', { args, timeoutMs: COMPILE_TIMEOUT_MS, signal });
  });
  checkJars(join(folder, 'lib'));
  return { java, folder };
}

export function javaCommand({ java, folder }: JavaServer, place: ServerPlace): ServerCommand {
  const [port = 0] = place.ports;
  const data = join(makePrivateFolder(join(place.folder, 'data-java')), 'beds.mv');
  const classPath = [join(folder, 'lib', '*'), join(folder, 'classes')].join(':');
  const jvm = ['-Xmx512m', '-XX:+UseSerialGC', '-Djava.net.preferIPv4Stack=true'];
  return {
    command: java,
    args: [...jvm, '-cp', classPath, 'Launcher', String(port), data],
    env: { PATH: '/usr/bin:/bin', HOME: place.folder, LANG: 'C.UTF-8' },
    cwd: place.folder,
  };
}

const dependency = (artifact: string): string =>
  `<dependency><groupId>de.bwaldvogel</groupId><artifactId>${artifact}</artifactId><version>${VERSION}</version></dependency>`;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>beds</groupId><artifactId>mongodb</artifactId><version>1</version>
  <dependencies>${dependency('mongo-java-server')}${dependency('mongo-java-server-h2-backend')}</dependencies>
</project>
`;

/** SHA-256 of every file that Maven resolves for the server, hex. */
export const JARS: Readonly<Record<string, string>> = {
  'h2-2.3.232.jar': '8dae62d22db8982c3dcb3826edb9c727c5d302063a67eef7d63d82de401f07d3',
  'mongo-java-server-1.47.0.jar': '37fc487ab0ef924dee0acdc62e2de1ef1daffa7eb2fdf9b56e5d2f3bdc2b909b',
  'mongo-java-server-core-1.47.0.jar': '9a34c9ad6ac6261906295481838256033ec1efc8c93a3e3828e5d47a006b0bd4',
  'mongo-java-server-h2-backend-1.47.0.jar': '58ca6760a25f8a05adfe8a0f7a8a042ca22bd472869028755931507cdce20e71',
  'mongo-java-server-memory-backend-1.47.0.jar': '82864f8a2ede1514f64c2cd3a70e8022c259eb3d78975cfa208c1668ac1f12bb',
  'netty-buffer-4.2.2.Final.jar': '4820eeb2d3db269b20b30711e3d7d21979664249aaf10fc67f90dee935810747',
  'netty-codec-4.2.2.Final.jar': '6a4ea3cedc831a377e20e32da5df4d2a47b954810e941138e3358e313db3a7f9',
  'netty-codec-base-4.2.2.Final.jar': '76987614ccb2fda7d3292b69ba5b61351f30e91bf5c7d8fa4b51bc32c9f67456',
  'netty-codec-compression-4.2.2.Final.jar': '005734e20aceb5e2c030033f7e042c81ee444497efd110cfca8de445642652ac',
  'netty-codec-marshalling-4.2.2.Final.jar': 'ae8bb7a077ca02357c922e3abc1acf1bf191d5e2776721d69cbca50a16281096',
  'netty-codec-protobuf-4.2.2.Final.jar': 'cfe0c7e6e68d83480a639b533eb7edaaf3252cfae8b73d0e362859673a4f9d97',
  'netty-common-4.2.2.Final.jar': '5d022f3acad74cb0f195f60213500a4000d1340e5e941edaf1a0e756686b9bae',
  'netty-handler-4.2.2.Final.jar': 'd4ef582c78125457baa0cfa52992b5fb1bb9172d1a2c03b726e8b26e17d3fe2c',
  'netty-resolver-4.2.2.Final.jar': 'fa7841ffe2e39d52251814fb8560d6936b10ae7c67453ee50426b83fd5170ba0',
  'netty-transport-4.2.2.Final.jar': '116d766a1af4722fe76a4cdaed969644985d44e08ec1337d2dbab697dd109603',
  'netty-transport-native-unix-common-4.2.2.Final.jar':
    'aa8821a7ea2ca47f62740bd1f37d67deb97824cc77e76dde6ae2c439a923fc9d',
  'slf4j-api-2.0.17.jar': '7b751d952061954d5abfed7181c1f645d336091b679891591d63329c622eb832',
};

/**
 * Whether these are the files that were reviewed, all of them and no other: what runs is what is pinned here, wherever Maven
 * or somebody else took it from. Throws `BEDS_SERVICES_DOWNLOAD_MISMATCH`.
 */
export function checkJars(folder: string, expected: Readonly<Record<string, string>> = JARS): void {
  const found = readdirSync(folder).filter((name) => name.endsWith('.jar'));
  const wrong = found.filter((name) => sha256(join(folder, name)) !== expected[name]);
  const missing = Object.keys(expected).filter((name) => !found.includes(name));
  const names = [...wrong, ...missing].join(', ');
  if (names === '') return;
  throw servicesErrors.make(
    'BEDS_SERVICES_DOWNLOAD_MISMATCH',
    `${names} in ${folder}: other bytes than expected, or missing.`,
  );
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
