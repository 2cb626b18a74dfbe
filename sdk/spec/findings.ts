import type { Formula, Message, NamedFormula, OrderItem, Problem } from './checked.js';
import { FormulaError, parseAssignment, parseColumn, parseFormula, parseOrderItem } from './parse-formula.js';
import {
  type NamedValueShape,
  type Scope,
  typeCondition,
  typeFormula,
  typeName,
  typeOrder,
  typeValue,
} from './type-formula.js';

/**
 * Characters that hide or reorder what a reader sees, those that end lines where nobody expects it, and halves of characters: what
 * a person agrees to is what a model and a database get. https://www.unicode.org/reports/tr36/
 */
export const UNSEEN =
  // eslint-disable-next-line no-misleading-character-class -- each is looked for by itself
  /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u{e0100}-\u{e01ef}]/u;

/** A text as a reader sees it, on one line. */
export function seen(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .replaceAll(new RegExp(UNSEEN, 'gu'), '')
    .trim();
}

type Extra = Partial<Pick<Problem, 'known' | 'example'>>;

/** Collects what is wrong, so that a writer sees all of it at once. */
export class Findings {
  readonly problems: Problem[] = [];

  error(path: string, code: string, { message, ...extra }: Extra & { readonly message: string }): void {
    this.problems.push({ path, code, message, ...extra, severity: 'error' });
  }

  advice(path: string, code: string, { message, ...extra }: Extra & { readonly message: string }): void {
    this.problems.push({ path, code, message, ...extra, severity: 'advice' });
  }

  get hasErrors(): boolean {
    return this.problems.some(({ severity }) => severity === 'error');
  }

  /** What reading a formula gives; undefined where it is wrong, which is noted. */
  formula<T>(path: string, text: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FormulaError)) throw error;
      const where = error.at > 0 ? `, at "${text.slice(error.at, error.at + 24)}"` : '';
      const example = error.example === undefined ? {} : { example: error.example };
      this.error(path, 'formula', {
        message: `"${text}"${where}: ${error.message}${/[.?!]$/.test(error.message) ? '' : '.'}`,
        ...example,
      });
      return undefined;
    }
  }

  condition(path: string, text: string, scope: Scope): Formula | undefined {
    return this.formula(path, text, () => typeCondition(parseFormula(text), scope));
  }

  value(path: string, text: string, scope: Scope): Formula | undefined {
    return this.formula(path, text, () => typeFormula(parseFormula(text), scope));
  }

  valueOf(
    path: string,
    text: string,
    { scope, wanted }: { readonly scope: Scope; readonly wanted: NamedValueShape },
  ): Formula | undefined {
    return this.formula(path, text, () => typeValue(parseFormula(text), scope, wanted));
  }

  order(path: string, items: readonly string[] | undefined, scope: Scope): readonly OrderItem[] {
    return (items ?? []).flatMap((text, index) => {
      const at = `${path}[${String(index)}]`;
      return this.formula(at, text, () => typeOrder([parseOrderItem(text)], scope)) ?? [];
    });
  }

  /** `name = formula` of any type. */
  named(path: string, text: string, scope: Scope): NamedFormula | undefined {
    return this.formula(path, text, () => {
      const { name, value } = parseAssignment(text);
      return { name, value: typeFormula(value, scope) };
    });
  }

  /** `name = formula`, of which callers get the value. */
  returned(path: string, text: string, scope: Scope): NamedFormula | undefined {
    return this.formula(path, text, () => {
      const { name, value } = parseAssignment(text);
      return { name, value: answerable(typeFormula(value, scope)) };
    });
  }

  column(path: string, text: string, scope: Scope): NamedFormula | undefined {
    return this.formula(path, text, () => {
      const { name, value } = parseColumn(text);
      return { name, value: answerable(typeFormula(value, scope)) };
    });
  }

  /** A text for callers, with `{formula}` in it. */
  message(path: string, text: string, scope: Scope): Message {
    const parts: (string | Formula)[] = [];
    for (const [index, part] of text.split(/\{([^{}]*)\}/).entries()) {
      if (index % 2 === 0) {
        if (part !== '') parts.push(part);
        continue;
      }
      const formula = this.value(path, part, { ...scope, sets: false });
      if (formula !== undefined) parts.push(formula);
    }
    return parts;
  }
}

/** What an answer can carry. */
function answerable(value: Formula): Formula {
  const { kind } = value.type;
  if (!['span', 'row', 'answer', 'object', 'null'].includes(kind)) return value;
  const example = {
    span: 'minutes(from, to), days(from, to)',
    row: 'the fields that callers need: number = e.number',
    null: 'coalesce(…, 0)',
  }[kind as 'span' | 'row' | 'null'] as string | undefined;
  throw new FormulaError(`${typeName(value.type)} is nothing that callers are answered`, { at: 0, example });
}
