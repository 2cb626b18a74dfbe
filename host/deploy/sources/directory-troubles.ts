import { isBedsError } from '@beds/sdk';
import { type AdmissionCode, admissionErrors } from '../../errors/admission.js';
import type { DropHandlers } from '../admit/contract.js';
import type { LookResult, Missed } from './drop-ledger.js';

/** Names in a message are an example of what is wrong, not a list. */
const MOST_NAMES = 10;

interface Trouble {
  readonly names: readonly string[];
  readonly message: string;
  readonly cause?: unknown;
}

const MISSED: Readonly<Record<Missed['why'], AdmissionCode>> = {
  replaced: 'BEDS_ADMISSION_DIRECTORY_REPLACED',
  emptied: 'BEDS_ADMISSION_DIRECTORY_EMPTIED',
  hollow: 'BEDS_ADMISSION_FOLDER_EMPTIED',
};

const OVER: Partial<Record<AdmissionCode, string>> = {
  BEDS_ADMISSION_DIRECTORY_UNSAFE: 'the plugin directory can be trusted again',
  BEDS_ADMISSION_DIRECTORY_UNREADABLE: 'the plugin directory and all that is in it can be looked at again',
  BEDS_ADMISSION_DIRECTORY_REPLACED: 'the plugin directory lacks no bundle that serves any more',
  BEDS_ADMISSION_DIRECTORY_EMPTIED: 'the plugin directory lacks no bundle that serves any more',
  BEDS_ADMISSION_FOLDER_EMPTIED: 'every folder of a bundle that serves holds one again',
};

/** What is wrong with the plugin directory: said when it begins, for each name once, and when it is over. */
export class DirectoryTroubles {
  readonly #handlers: Pick<DropHandlers, 'error' | 'recovered'>;
  readonly #said = new Map<AdmissionCode, Set<string>>();

  constructor(handlers: Pick<DropHandlers, 'error' | 'recovered'>) {
    this.#handlers = handlers;
  }

  /** The directory as such could not be looked at: what was said of its bundles holds. */
  failed(error: unknown): void {
    if (isBedsError(error) && error.code === 'BEDS_ADMISSION_DIRECTORY_UNSAFE') {
      this.#begin(error.code, { names: [''], message: error.message });
      return;
    }
    const message = `The plugin directory cannot be read (${codeOf(error)}); what serves goes on.`;
    this.#begin('BEDS_ADMISSION_DIRECTORY_UNREADABLE', { names: [''], message, cause: error });
  }

  /** All that one look found; what it did not find any more is over. */
  looked({ unreadable, missed }: LookResult): void {
    const found = new Map<AdmissionCode, Trouble>();
    if (unreadable.size > 0) {
      const names = [...unreadable.keys()];
      const [cause] = unreadable.values();
      const message = `${listed(names)} in the plugin directory cannot be looked at (${codeOf(cause)}); what serves goes on.`;
      found.set('BEDS_ADMISSION_DIRECTORY_UNREADABLE', { names, message, cause });
    }
    for (const [why, code] of Object.entries(MISSED)) {
      const of = missed.filter((each) => each.why === why);
      if (of.length > 0) found.set(code, missing(code, of));
    }
    for (const code of this.#said.keys()) if (!found.has(code)) this.#end(code);
    for (const [code, trouble] of found) this.#begin(code, trouble);
  }

  #begin(code: AdmissionCode, { names, message, cause }: Trouble): void {
    const said = this.#said.get(code) ?? new Set();
    this.#said.set(code, said);
    if (names.every((name) => said.has(name))) return;
    for (const name of names) said.add(name);
    this.#handlers.error(admissionErrors.make(code, message, { cause }));
  }

  #end(code: AdmissionCode): void {
    this.#said.delete(code);
    this.#handlers.recovered?.(OVER[code] ?? code);
  }
}

function missing(code: AdmissionCode, missed: readonly Missed[]): Trouble {
  const names = missed.map(({ entry }) => entry);
  const domains = [...new Set(missed.map(({ domain }) => domain))];
  const message = `${admissionErrors.specs[code].message} Missing: ${listed(names)}, of ${listed(domains)}.`;
  return { names, message };
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).join(', ');
  return names.length > MOST_NAMES ? `${shown} and ${names.length - MOST_NAMES} more` : shown;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
}
