import { createHash } from 'node:crypto';

/** A record of the audit, as `audit.fetch` gives it. */
export interface AuditRecord {
  readonly seq: number;
  readonly id: string;
  readonly order_id: string;
  readonly step: string;
  readonly at: number;
  readonly node: string;
  readonly user_id: string;
  readonly user_name: string;
  readonly source: string;
  readonly op: string;
  readonly target: string;
  readonly outcome: string;
  readonly words: string;
  readonly previous: string;
  readonly hash: string;
}

/** The place of a record, and its hash. */
export interface Place {
  readonly seq: number;
  readonly hash: string;
}

/** Where the chain begins. */
export const BEGINNING: Place = { seq: 0, hash: '' };

/** SHA-256 of all that a record says, and of the hash of the one before. */
export function hashOf(record: Omit<AuditRecord, 'hash'>): string {
  const { seq, previous, id, order_id: order, step, at, node, op, target, outcome, words } = record;
  const who = [record.user_id, record.user_name, record.source];
  const said = [seq, previous, id, order, step, at, node, ...who, op, target, outcome, words];
  return createHash('sha256').update(JSON.stringify(said)).digest('hex');
}

/** What is wrong with the chain, in words; `seq` is where it shows. */
export interface Break {
  readonly seq: number;
  readonly words: string;
}

/** Looks at the records one after the other, in the order of `seq`. */
export class ChainCheck {
  readonly breaks: Break[] = [];
  readonly #known: Place & { readonly source: string };
  #last = BEGINNING;

  /** `known`: a record that was there once, and who says so. */
  constructor(known: Place & { readonly source: string } = { ...BEGINNING, source: '' }) {
    this.#known = known;
  }

  /** The last record that was looked at. */
  get last(): Place {
    return this.#last;
  }

  add(record: AuditRecord): void {
    const { seq, previous, hash } = record;
    const { seq: before, hash: expected } = this.#last;
    if (seq === before) this.#note(seq, `There are two records ${seq}: one was inserted.`);
    else if (seq !== before + 1) {
      const missing = seq === before + 2 ? `Record ${before + 1} is` : `Records ${before + 1} to ${seq - 1} are`;
      this.#note(before + 1, `${missing} missing: removed, or never there and ${seq} was inserted.`);
    } else if (previous !== expected) {
      this.#note(seq, `Record ${seq} does not follow from record ${before}: one of them was changed or inserted.`);
    }
    if (seq === this.#known.seq && hash !== this.#known.hash) {
      this.#note(seq, `Record ${seq} is not the one that ${this.#known.source} knows: the chain was made anew.`);
    }
    if (hash !== hashOf(record)) this.#note(seq, `Record ${seq} was changed.`);
    this.#last = { seq, hash };
  }

  /** Compares with what is known of the end from elsewhere: records that were there and are not any more. */
  end(noted: Place): void {
    for (const known of [{ ...noted, source: 'the store' }, this.#known]) this.#requireAsFar(known);
    if (noted.seq === this.#last.seq && noted.hash !== this.#last.hash) {
      this.#note(noted.seq, `Record ${noted.seq} is not the one that the store noted as the last.`);
    }
  }

  #requireAsFar(known: Place & { readonly source: string }): void {
    if (known.seq > this.#last.seq) {
      this.#note(
        this.#last.seq + 1,
        `The last record is ${this.#last.seq}; ${known.source} knows of ${known.seq}: removed.`,
      );
    }
  }

  #note(seq: number, words: string): void {
    this.breaks.push({ seq, words });
  }
}
