import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beds, type Ran } from './beds.js';
import { describeBundle, type BundleOptions, type BundleText } from './bundles.js';
import type { TestHost } from './host.js';
import { temporaryDirectory, type Teardown } from './services.js';

/** Gives a host orders as an operator does, with the command line. */
export class RolloutOrders {
  readonly #directory: string;
  readonly #env: Readonly<Record<string, string>>;
  #count = 0;

  constructor(teardown: Teardown, host: TestHost) {
    this.#directory = temporaryDirectory(teardown);
    this.#env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
  }

  /** Runs a command; what it wrote and its exit code. */
  run(...args: readonly string[]): Promise<Ran> {
    return beds(args, { projectRoot: this.#directory, env: this.#env });
  }

  /** Runs a command that must be accepted, and does not wait for what follows. */
  async order(...args: readonly string[]): Promise<void> {
    const ran = await this.run(...args);
    assert.equal(ran.code, 0, `beds ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
  }

  /** Deploys bundles that are nowhere in the plugin directory; resolves when the host has accepted them. */
  async deploy(bundles: readonly BundleOptions[], ...options: readonly string[]): Promise<readonly BundleText[]> {
    const texts = bundles.map((bundle) => describeBundle(bundle));
    const paths = await Promise.all(texts.map((text) => this.#write(text)));
    await this.order('deploy', ...paths, '--no-wait', ...options);
    return texts;
  }

  async #write({ name, files }: BundleText): Promise<string> {
    this.#count += 1;
    const home = join(this.#directory, String(this.#count));
    await mkdir(home);
    const isFile = files.has(name);
    if (!isFile) await mkdir(join(home, name));
    for (const [file, text] of files) await writeFile(join(home, isFile ? '' : name, file), text);
    return join(home, name);
  }
}
