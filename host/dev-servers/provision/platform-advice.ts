import { findProgram, searchPath } from './find-program.js';

/** Package names of one server, by package manager. */
export interface PackageNames {
  readonly apt: string;
  readonly dnf: string;
  readonly apk: string;
  readonly pacman: string;
  readonly brew: string;
}

const COMMANDS: readonly (readonly [string, keyof PackageNames, string])[] = [
  ['apt-get', 'apt', 'sudo apt-get update && sudo apt-get install -y'],
  ['dnf', 'dnf', 'sudo dnf install -y'],
  ['apk', 'apk', 'sudo apk add'],
  ['pacman', 'pacman', 'sudo pacman -S --needed'],
  ['brew', 'brew', 'brew install'],
];

/** The one command that installs a server on this platform. */
export function installCommand(names: PackageNames): string {
  const folders = searchPath({});
  const known = COMMANDS.find(([program]) => findProgram([program], folders) !== undefined);
  if (known === undefined) return process.platform === 'darwin' ? `brew install ${names.brew}` : `install ${names.dnf}`;
  const [, manager, command] = known;
  const needsNoSudo = process.getuid?.() === 0;
  return `${needsNoSudo ? command.replaceAll('sudo ', '') : command} ${names[manager]}`;
}
