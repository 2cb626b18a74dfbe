/** Text for the server, with the values for its marks. */
export interface Statement {
  readonly sql: string;
  /** The same as a transaction of its own, for servers that know blocks. */
  readonly block?: string;
  readonly values: readonly (string | number | boolean | null)[];
}
