/** A domain to be started. */
export interface NewDomain {
  readonly domain: string;
  readonly store: string;
  readonly kind: 'mysql' | 'mongodb';
}

/** File names, with `/`, and what they hold. */
export type DomainFiles = Readonly<Record<string, string>>;
