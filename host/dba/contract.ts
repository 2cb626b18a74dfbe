import type { StoreConfig } from '../config/schema.js';

export type StoreKind = StoreConfig['kind'];

/** A database, as its administrator reaches it. */
export interface AdministeredStore {
  readonly kind: StoreKind;
  /** URL with the account of the DBA and the name of the database: a secret. */
  readonly adminUrl: string;
  /** The configuration names the account of this store: it is not touched, and its grants are the DBA's. Default false. */
  readonly ownAccount?: boolean;
}

/** One file of a domain's `db/` folder. */
export interface ObjectFile {
  /** `cities/db/10-table-city.sql` */
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
}

/** What the DBA has written for one domain. */
export interface DomainObjects {
  readonly domain: string;
  /** As package.json names it; undefined where it does not. */
  readonly store: string | undefined;
  readonly kind: StoreKind;
  /** In the order of their names, numbers by value. */
  readonly files: readonly ObjectFile[];
  /** Text of its domain.json, where the files are made from one. */
  readonly specification?: string | undefined;
}

/** The account that the host uses. */
export interface RuntimeAccount {
  readonly user: string;
  readonly password: string;
}

/** Without a password it is there already, and is not changed. */
export type Grantee = Pick<RuntimeAccount, 'user'> & Partial<RuntimeAccount>;

export type ChangeProgress =
  | { readonly type: 'step'; readonly number: number; readonly of: number; readonly words: string }
  | { readonly type: 'rows'; readonly done: number; readonly words: string }
  /** It is carried out, which is not yet written down. */
  | { readonly type: 'ran'; readonly number: number }
  | { readonly type: 'done'; readonly number: number; readonly of: number };

export type DbaProgress =
  | { readonly type: 'applied'; readonly store: string; readonly file: string }
  | { readonly type: 'unchanged'; readonly store: string; readonly file: string }
  | { readonly type: 'granted'; readonly store: string; readonly words: string }
  | { readonly type: 'change'; readonly store: string; readonly event: ChangeProgress };

/** The administrator's connection to one database. Errors are BEDS_DBA_*. */
export interface StoreAdministrator {
  /** Puts a file into the database, unless exactly this was put there before and `force` is not given. */
  apply(file: ObjectFile, options: { readonly force: boolean }): Promise<'applied' | 'unchanged'>;
  /** Gives the account the objects of these domains, nothing else; makes it where a password is given. */
  grant(domains: readonly DomainObjects[], account: Grantee): Promise<Granted>;
  close(): Promise<void>;
}

export interface Granted {
  /** Whether the account exists; a server without access control has none, and its own URL is used. */
  readonly account: boolean;
  /** For a person. */
  readonly words: string;
}
