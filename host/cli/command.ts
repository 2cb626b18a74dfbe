import type { AuthorContext, Command as AnyCommand, CommandRegistry as AnyRegistry } from '#sdk/cli';
import type { Config } from '../config/schema.js';
import type { Output } from './output.js';

/** What a command of this program is given: what those of an author get, and the host's configuration. */
export interface CommandContext extends AuthorContext {
  readonly out: Output;
  /** Reads the configuration when first called. Throws BEDS_CONFIG_INVALID, which exits with 78. */
  readonly config: () => Config;
}

/** One command: one file in commands/, one line in commands.ts; or one entry in host/admin/commands.ts. */
export type Command = AnyCommand<CommandContext>;

export type CommandRegistry = AnyRegistry<CommandContext>;
