import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import {
  CHECK_TIMEOUT_MS,
  libraryVariables,
  unpackedPrograms,
} from '../../host/dev-servers/provision/distribution-packages.js';
import { findProgram, runCommand, searchPath } from '../../host/dev-servers/provision/programs.js';
import { lastFirst, temporaryDirectory, type Teardown } from './services.js';

interface Programs {
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
}

const LAUNCH_MS = 60_000;

/**
 * A real Chromium: that of the PATH, or the distribution's package, unpacked into the cache as the servers are. A text instead says
 * why there is none.
 */
export async function openBrowser(teardown: Teardown): Promise<Browser | string> {
  const folder = temporaryDirectory(teardown);
  let programs: Programs | undefined;
  try {
    programs = await findChromium(folder);
  } catch (error) {
    return `Chromium cannot be had here: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (programs === undefined)
    return 'Chromium cannot be had here: it is not installed, and there are no packages of Debian';
  const { file, env } = programs;
  const browser = await chromium.launch({
    executablePath: file,
    headless: true,
    // n.b. its sandbox needs what containers do not give, and runs not at all as root. It opens pages of ours only.
    chromiumSandbox: false,
    args: ['--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
    env: { ...process.env, ...env, HOME: folder },
    timeout: LAUNCH_MS,
  });
  lastFirst(teardown, () => browser.close());
  return browser;
}

async function findChromium(folder: string): Promise<Programs | undefined> {
  const installed = findProgram(['chromium-headless-shell', 'chromium', 'chromium-browser'], searchPath({}));
  if (installed !== undefined) return { file: installed, env: {} };
  const context = {
    ...{ name: 'chromium', title: 'Chromium', newer: undefined, folder, provision: {} },
    progress: () => undefined,
    signal: new AbortController().signal,
  };
  return unpackedPrograms(context, {
    names: ['chromium-headless-shell'],
    together: /^chromium/,
    programsIn: (root) => ({
      file: join(root, 'usr', 'lib', 'chromium', 'chromium-headless-shell'),
      env: { LD_LIBRARY_PATH: librariesIn(root), FONTCONFIG_FILE: nameFonts(folder, root) },
    }),
    check: ({ file, env }) =>
      runCommand(file, { args: ['--version'], timeoutMs: CHECK_TIMEOUT_MS, env: { ...process.env, ...env } }),
  });
}

/** n.b. that of the sound, which nobody hears, has a folder of its own. */
function librariesIn(root: string): string {
  const { LD_LIBRARY_PATH: libraries = '' } = libraryVariables({ newer: undefined }, root);
  return libraries
    .split(':')
    .flatMap((folder) => [folder, join(folder, 'pulseaudio')])
    .join(':');
}

/** Those that the system has, and those that were unpacked because it has none. */
function nameFonts(folder: string, root: string): string {
  const folders = ['/usr/share/fonts', join(root, 'usr', 'share', 'fonts')]
    .map((path) => `<dir>${path}</dir>`)
    .join('');
  const file = join(folder, 'fonts.conf');
  const cache = `<cachedir>${join(folder, 'fonts')}</cachedir>`;
  const rest = '<edit name="family" mode="append" binding="strong"><string>DejaVu Sans</string></edit>';
  const text = `${folders}${cache}<match target="pattern">${rest}</match>`;
  writeFileSync(file, `<?xml version="1.0"?><fontconfig>${text}</fontconfig>\n`);
  return file;
}
