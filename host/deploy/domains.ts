import { join } from 'node:path';
import type { HistoryEntry } from './history.js';
import { type DeployEvent, reconcile } from './reconcile.js';
import { fromDisk, fromHistory, isSameOnDisk, parseStateOnDisk, type State, toDisk, type Transition } from './state.js';
import { StateFile } from './state-file.js';
import type { Remark, Rules } from './step.js';

export interface DomainsOptions {
  /** `state.directory`, absolute. */
  readonly directory: string;
  readonly rules: Rules;
  /** Stands in where the file is damaged. */
  readonly history: () => readonly HistoryEntry[];
  readonly onTransition: (transition: Transition) => void;
  readonly onRemark: (remark: Remark) => void;
}

const FILE = 'domains.json';

/** The state of all domains, in memory and on disk, and the only place where it changes. */
export class Domains {
  readonly #options: DomainsOptions;
  readonly #file: StateFile<ReturnType<typeof toDisk>>;
  #state: State;
  /** Called after each change, when it was told. */
  onChange: () => void = () => undefined;

  private constructor(options: DomainsOptions, file: StateFile<ReturnType<typeof toDisk>>) {
    this.#options = options;
    this.#file = file;
    this.#state = fromDisk(file.value);
  }

  /** Reads what a run before has left. */
  static async open(options: DomainsOptions): Promise<Domains> {
    const { directory, rules, history } = options;
    const atFirst = fromHistory(history(), rules.keepVersions);
    return new Domains(options, await StateFile.open(join(directory, FILE), parseStateOnDisk, atFirst));
  }

  get state(): State {
    return this.#state;
  }

  get rules(): Rules {
    return this.#options.rules;
  }

  /** Takes in what happened: the state that follows, its lines in the history, and what is to be done then. */
  dispatch(event: DeployEvent): void {
    const before = this.#state;
    const { rules, onTransition, onRemark } = this.#options;
    const { state, transitions, remarks } = reconcile(before, event, { rules, at: Date.now() });
    this.#state = state;
    if (!isSameOnDisk(before, state)) this.#file.set(toDisk(state));
    for (const transition of transitions) onTransition(transition);
    for (const remark of remarks) onRemark(remark);
    if (state !== before) this.onChange();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
