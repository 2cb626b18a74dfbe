import type { InstalledServer, ServerDefinition, ServiceContext } from '../contract.js';
import { findProgram, searchPath } from '../provision/find-program.js';
import { unavailable } from '../provision/unavailable.js';
import { findJavaServer, planJavaServer } from './java-server.js';
import { downloadMongod } from './memory-server.js';
import { planMongod } from './mongod.js';

/** MongoDB itself is in no distribution's archive; a JDK and Maven are what the server in its place needs. */
const PACKAGES = {
  apt: 'default-jdk-headless maven',
  dnf: 'java-17-openjdk-devel maven',
  apk: 'openjdk17 maven',
  pacman: 'jdk-openjdk maven',
  brew: 'openjdk maven',
};

export const mongodb: ServerDefinition = {
  name: 'mongodb',
  title: 'MongoDB',
  urlVariable: 'BEDS_MONGODB_URL',
  portCount: 1,
  install: async (context) => {
    const found = findProgram(['mongod'], searchPath(context.provision));
    if (found !== undefined) return mongod('path', found);
    const downloaded = await downloadMongod(context);
    if (downloaded !== undefined) return mongod('mongodb-memory-server', downloaded);
    return javaServer(context);
  },
};

function mongod(source: 'path' | 'mongodb-memory-server', program: string): InstalledServer {
  return { source, kind: 'mongod', plan: (place) => Promise.resolve(planMongod(program, place)) };
}

async function javaServer(context: ServiceContext): Promise<InstalledServer> {
  let problem: unknown;
  const server = await findJavaServer(context).catch((error: unknown) => {
    problem = error;
    return undefined;
  });
  if (server === undefined) throw unavailable(mongodb, PACKAGES, problem);
  return {
    source: 'mongo-java-server',
    kind: 'mongo-java-server',
    plan: (place) => Promise.resolve(planJavaServer(server, place)),
  };
}
