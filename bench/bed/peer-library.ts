import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { PEERS_FOLDER } from './peers.js';

/**
 * Imports a library of bench/peers. The product does not depend on it, so the compiler does not know it either: `T` is
 * the part that is used, written by hand after its installed source. `folder` is where it is installed, below bench/peers.
 */
export async function peerLibrary<T>(name: string, folder = ''): Promise<T> {
  const { load } = (await import(pathToFileURL(join(PEERS_FOLDER, folder, 'load.mjs')).href)) as {
    readonly load: (name: string) => Promise<unknown>;
  };
  return (await load(name)) as T;
}
