/** What is running and has to be ended, the last first. */
export type Endings = (() => Promise<unknown>)[];
