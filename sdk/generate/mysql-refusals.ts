import type { CheckedRecord, ErrorClass, Message } from '../spec/index.js';
import { type MysqlFormulas, nowhere, type Place } from './mysql-formulas.js';
import { fit, HEAD, indent, literal, remark } from './mysql-words.js';

/** How the database says no: in the caller's words, with the class and the field that BEDS reads from the text. */

/** MySQL and MariaDB refuse a MESSAGE_TEXT that is longer. https://dev.mysql.com/doc/refman/8.4/en/signal.html */
const MOST_CHARACTERS = 128;
const CLASSES: Readonly<Record<ErrorClass, string>> = {
  ...{ invalid: 'invalid', conflict: 'conflict', forbidden: 'forbidden', not_found: 'not-found' },
};

export interface About {
  readonly error: ErrorClass;
  readonly field?: string | undefined;
  readonly formulas: MysqlFormulas;
  readonly place: Place;
}

/** n.b. the server refuses a longer one: the end of a sentence is left out, not the error. */
function shortened(text: string): string {
  const letters = Array.from(text);
  if (letters.length <= MOST_CHARACTERS) return text;
  return `${letters
    .slice(0, MOST_CHARACTERS - 1)
    .join('')
    .replace(/\s+\S*$/, '')}…`;
}

export function signal(message: Message, about: About): readonly string[] {
  if (isFixed(message))
    return [`SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = ${literal(shortened(headOf(about) + message.join('')))};`];
  return [`SET v_message = ${saidWith(message, about)};`, `SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = v_message;`];
}

/** Whether it quotes no value. */
export function isFixed(message: Message): message is readonly string[] {
  return message.every((part) => typeof part === 'string');
}

function headOf({ error, field }: Pick<About, 'error' | 'field'>): string {
  return `[${CLASSES[error]}${field === undefined ? '' : ` ${field}`}] `;
}

/** The expression of a text that quotes values. */
function saidWith(message: Message, about: About): string {
  const { formulas, place } = about;
  const [first, ...rest] = message;
  const parts = [
    ...(typeof first === 'string' ? [literal(headOf(about) + first)] : [literal(headOf(about)), first]),
    ...rest.map((part) => (typeof part === 'string' ? literal(part) : part)),
  ].map((part) => (typeof part === 'string' ? part : `COALESCE(${formulas.write(part as never, place)}, '-')`));
  return `LEFT(CONCAT(${parts.join(', ')}), ${MOST_CHARACTERS})`;
}

/**
 * Who handles the error of a constraint does not see the row. So the trigger of the row, which runs just before, says with its values
 * what will be told if the constraint refuses it.
 */
export function saidBefore({ name, error, message }: Refused, formulas: MysqlFormulas, place: Place): string {
  return `SET ${saidOf(name)} = ${saidWith(message, { error, formulas, place })};`;
}

function saidOf(constraint: string): string {
  return `@${fit(`beds_said_${constraint}`)}`;
}

/** Words for callers, of what the constraint of this name refuses. */
export interface Refused {
  readonly name: string;
  readonly error: ErrorClass;
  readonly field?: string;
  readonly message: Message;
}

export function uniqueName(record: CheckedRecord, name: string, formulas: MysqlFormulas): string {
  return formulas.name(name.startsWith(`${record.name}_`) ? name : `${record.name}_${name}`);
}

export function referenceName(record: CheckedRecord, field: string, formulas: MysqlFormulas): string {
  return formulas.name(record.name, 'of', field);
}

/** Errors of the server that are about a constraint: duplicate, child that is there, parent that is not, CHECK in MySQL and in MariaDB. */
const CONSTRAINT_ERRORS = '1062, 1451, 1452, 3819, 4025';

export function explainName(formulas: MysqlFormulas): string {
  return formulas.callable(`_${formulas.prefix}_explain`);
}

/** The one place where constraints get their words. n.b. values that a message quotes stand before the name, never behind it. */
export function explainText(constraints: readonly Refused[], formulas: MysqlFormulas): string {
  const name = explainName(formulas);
  const place = nowhere('records');
  const before = constraints.filter(({ name: each }) => !each.startsWith('<'));
  const whens = before.flatMap(({ name: constraint, error, field, message }) => [
    `WHEN ${literal(constraint)} THEN`,
    ...indent(
      isFixed(message)
        ? signal(message, { error, field, formulas, place })
        : [`SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = ${saidOf(constraint)};`],
    ),
  ]);
  const parents = constraints.filter(({ name: each }) => each.startsWith('<'));
  const children = parents.flatMap(({ name: constraint, error, message }) => [
    `WHEN ${literal(constraint.slice(1))} THEN`,
    ...indent(signal(message, { error, formulas, place })),
  ]);
  return `${remark('What callers are told when a constraint refuses a write: the only place of these words.')}
${HEAD}
DROP PROCEDURE IF EXISTS ${name};

CREATE PROCEDURE ${name}(
  IN p_number INT,
  IN p_text VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
)
  SQL SECURITY DEFINER
  NO SQL
  COMMENT 'Says in words what a constraint refused. Called by handlers only.'
BEGIN
  DECLARE v_name VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  SET v_name = CASE p_number
    WHEN 1062 THEN SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(p_text, '''', -2), '''', 1), '.', -1)
    WHEN 3819 THEN SUBSTRING_INDEX(SUBSTRING_INDEX(p_text, '''', 2), '''', -1)
    WHEN 4025 THEN SUBSTRING_INDEX(SUBSTRING_INDEX(p_text, '\`', 2), '\`', -1)
    ELSE SUBSTRING_INDEX(SUBSTRING_INDEX(p_text, 'CONSTRAINT \`', -1), '\`', 1)
  END;
  IF v_name = 'PRIMARY' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '[conflict] There is one with this key already.';
  END IF;
${
  children.length === 0
    ? ''
    : `  IF p_number = 1451 THEN
    CASE v_name
${indent(children, 6).join('\n')}
      ELSE BEGIN END;
    END CASE;
  END IF;
`
}${
    whens.length === 0
      ? ''
      : `  CASE v_name
${indent(whens, 4).join('\n')}
    ELSE BEGIN END;
  END CASE;
`
  }END;
`;
}

/** For the head of a routine that writes, behind its variables. */
export function constraintHandler(formulas: MysqlFormulas): readonly string[] {
  // n.b. in MySQL nothing may stand before GET DIAGNOSTICS in a handler, not even a declaration: the error would be gone.
  return [
    'DECLARE v_error_number INT;',
    'DECLARE v_error_text VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;',
    `DECLARE EXIT HANDLER FOR ${CONSTRAINT_ERRORS}`,
    'BEGIN',
    '  GET DIAGNOSTICS CONDITION 1 v_error_number = MYSQL_ERRNO, v_error_text = MESSAGE_TEXT;',
    `  CALL ${explainName(formulas)}(v_error_number, v_error_text);`,
    '  RESIGNAL;',
    'END;',
  ];
}
