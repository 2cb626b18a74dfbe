import { styleText } from 'node:util';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A colour or weight of text, by its name in `node:util`. */
export type Style = Parameters<typeof styleText>[0];

/** Where a command writes: lines for people, or one JSON value for scripts. */
export interface Output {
  /** Whether a person is watching. */
  readonly interactive: boolean;
  /** Characters in a line; Infinity where nobody is watching. */
  readonly width: number;
  /** Writes a line to stdout. */
  readonly line: (text?: string) => void;
  /** Writes a value to stdout as JSON, for `--json`. */
  readonly value: (value: unknown) => void;
  /** Writes a line to stderr: progress and remarks, also with `--json`. */
  readonly note: (text: string) => void;
  /** The text in a style, where the terminal shows styles. https://no-color.org */
  readonly paint: (style: Style, text: string) => string;
}

interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface OutputOptions {
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly env: Environment;
}

export function createOutput({ stdout, stderr, env }: OutputOptions): Output {
  const interactive = stdout.isTTY === true;
  const coloured = env['FORCE_COLOR'] === undefined ? interactive && !isPlain(env) : env['FORCE_COLOR'] !== '0';
  const width = (): number => (interactive ? (stdout.columns ?? 80) : Infinity);
  const paint = (style: Style, text: string): string =>
    coloured ? styleText(style, text, { validateStream: false }) : text;
  return {
    interactive,
    get width() {
      return width();
    },
    line: (text = '') => void stdout.write(`${text}\n`),
    value: (value) => void stdout.write(escaped(`${JSON.stringify(value, undefined, interactive ? 2 : 0)}\n`)),
    note: (text) => void stderr.write(`${text}\n`),
    paint,
  };
}

/** n.b. JSON escapes the controls up to U+001F only, and terminals obey others. */
function escaped(json: string): string {
  return json.replaceAll(/[\u007f-\u009f\u2028\u2029\p{Cf}]/gu, (sign) =>
    Array.from({ length: sign.length }, (_, at) => `\\u${sign.charCodeAt(at).toString(16).padStart(4, '0')}`).join(''),
  );
}

function isPlain(env: Environment): boolean {
  return (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
}
