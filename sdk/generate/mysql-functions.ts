import type { MysqlFormulas } from './mysql-formulas.js';
import { HEAD, literal, remark } from './mysql-words.js';

/** Functions of a domain's own: the zone in one place, and codes that nobody guesses. Their names begin with `_`: no caller has them. */
export function functionTexts(formulas: MysqlFormulas): Readonly<Record<string, string>> {
  const { used, prefix, specification } = formulas;
  const { zone } = specification.source;
  const named = (name: string): string => formulas.callable(`_${prefix}_${name}`);
  const [local, moment, code, tenant] = [named('local'), named('moment'), named('random_code'), named('tenant')];
  const isZoned = zone !== 'UTC';
  return {
    ...(used.has('local') && isZoned ? { [local]: localText(local, zone) } : {}),
    ...(used.has('moment') ? { [moment]: isZoned ? momentText(moment, { local, zone }) : momentOfUtc(moment) } : {}),
    ...(used.has('tenant') ? { [tenant]: tenantText(tenant) } : {}),
    ...(used.has('months') ? { [named('months')]: monthsText(named('months')) } : {}),
    ...(used.has('workdays') ? { [named('workdays')]: workdaysText(named('workdays')) } : {}),
    ...(used.has('slug') ? { [named('slug')]: slugText(named('slug')) } : {}),
    ...(used.has('match') ? { [named('match')]: matchText(named('match')) } : {}),
    ...(used.has('json_text') ? { [named('json_text')]: jsonText(named('json_text')) } : {}),
    ...(used.has('km') ? { [named('km')]: kmText(named('km')) } : {}),
    ...(used.has('instant') ? { [named('instant')]: instantText(named('instant')) } : {}),
    ...(used.has('random_code') ? { [code]: codeText(code) } : {}),
  };
}

interface FunctionParts {
  readonly name: string;
  /** For whoever reads the file. */
  readonly about: string;
  /** For whoever reads the catalogue. */
  readonly comment: string;
  /** Parameters and what it returns. */
  readonly signature: string;
  readonly body: string;
  /** Whether it needs tables, such as those of time zones. */
  readonly reads?: true;
  /** Default true. */
  readonly isDeterministic?: boolean;
}

function functionText({ name, about, comment, signature, body, reads, isDeterministic = true }: FunctionParts): string {
  return `${remark(about)}
${HEAD}
DROP FUNCTION IF EXISTS ${name};

CREATE FUNCTION ${name}${signature}
  SQL SECURITY DEFINER
  ${isDeterministic ? 'DETERMINISTIC' : 'NOT DETERMINISTIC'}
  ${reads === true ? 'READS SQL DATA' : 'NO SQL'}
  COMMENT '${comment}'
${body}
`;
}

function localText(local: string, zone: string): string {
  return functionText({
    name: local,
    about: `What a clock in ${zone} shows at a moment. It needs the time zone tables of the server: mysql_tzinfo_to_sql fills them.`,
    comment: 'What a clock shows at a moment.',
    reads: true,
    signature: `(p_moment DATETIME(3)) RETURNS DATETIME(3)`,
    body: `BEGIN
  DECLARE v_local DATETIME(3);
  SET v_local = CONVERT_TZ(p_moment, '+00:00', ${literal(zone)});
  IF v_local IS NULL AND p_moment IS NOT NULL THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1298, MESSAGE_TEXT = ${literal(`The server does not know the time zone ${zone}.`)};
  END IF;
  RETURN v_local;
END;`,
  });
}

function momentText(moment: string, { local, zone }: { readonly local: string; readonly zone: string }): string {
  return functionText({
    name: moment,
    about: `The moment at which a clock in ${zone} shows this. What summer time leaves out counts as an hour later; what is there twice, as the second.`,
    comment: 'The moment at which a clock shows this.',
    reads: true,
    signature: `(p_local DATETIME(3)) RETURNS DATETIME(3)`,
    body: `BEGIN
  DECLARE v_moment DATETIME(3);
  SET v_moment = CONVERT_TZ(p_local, ${literal(zone)}, '+00:00');
  IF v_moment IS NULL AND p_local IS NOT NULL THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1298, MESSAGE_TEXT = ${literal(`The server does not know the time zone ${zone}.`)};
  END IF;
  IF ${local}(v_moment) <> p_local THEN
    RETURN CONVERT_TZ(p_local - INTERVAL 1 HOUR, ${literal(zone)}, '+00:00') + INTERVAL 1 HOUR;
  END IF;
  IF ${local}(v_moment + INTERVAL 1 HOUR) = p_local THEN
    RETURN v_moment + INTERVAL 1 HOUR;
  END IF;
  RETURN v_moment;
END;`,
  });
}

function momentOfUtc(moment: string): string {
  return functionText({
    name: moment,
    about: 'The moment at which a clock shows this.',
    comment: 'The moment at which a clock shows this.',
    signature: `(p_local DATETIME(3)) RETURNS DATETIME(3)`,
    body: `RETURN p_local;`,
  });
}

function tenantText(tenant: string): string {
  return functionText({
    name: tenant,
    about: 'The organisation of whoever calls: the role that begins with tenant:, without that.',
    comment: 'The organisation of whoever calls.',
    signature: `(p_roles JSON) RETURNS VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    body: `RETURN SUBSTRING(JSON_UNQUOTE(JSON_EXTRACT(p_roles, JSON_UNQUOTE(JSON_SEARCH(p_roles, 'one', 'tenant:%')))), 8);`,
  });
}

const WIDE = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

function monthsText(name: string): string {
  return functionText({
    name,
    about:
      'Whole months between two days. From 31 January to 28 February is a month, as the one plus a month is the other.',
    comment: 'Whole months between two days.',
    signature: `(p_from DATE, p_to DATE) RETURNS BIGINT`,
    body: `BEGIN
  DECLARE v_months BIGINT;
  SET v_months = PERIOD_DIFF(EXTRACT(YEAR_MONTH FROM p_to), EXTRACT(YEAR_MONTH FROM p_from));
  RETURN v_months - (v_months > 0 AND p_from + INTERVAL v_months MONTH > p_to)
    + (v_months < 0 AND p_from + INTERVAL v_months MONTH < p_to);
END;`,
  });
}

function workdaysText(name: string): string {
  return functionText({
    name,
    about: 'Mondays to Fridays from the first day on, without the last.',
    comment: 'Mondays to Fridays from the first day on, without the last.',
    signature: `(p_from DATE, p_to DATE) RETURNS BIGINT`,
    body: `BEGIN
  DECLARE v_days BIGINT DEFAULT DATEDIFF(p_to, p_from);
  IF v_days <= 0 THEN
    RETURN 0;
  END IF;
  -- Whole weeks have five; of the days that are left those that are 1 count, Monday first.
  RETURN 5 * (v_days DIV 7)
    + CHAR_LENGTH(REPLACE(SUBSTRING('1111100111110', WEEKDAY(p_from) + 1, v_days MOD 7), '0', ''));
END;`,
  });
}

/** Letters and digits that are an ASCII one with something added, by what they are without it. */
function plainSigns(): readonly [signs: string, plain: string] {
  const found: (readonly [string, string])[] = [];
  for (let code = 0x80; code < 0x2000; code += 1) {
    const sign = String.fromCodePoint(code);
    const plain = sign.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
    if (/^[a-z0-9]$/.test(plain)) found.push([sign, plain]);
  }
  return [found.map(([sign]) => sign).join(''), found.map(([, plain]) => plain).join('')];
}

function slugText(name: string): string {
  const [signs, plain] = plainSigns();
  return functionText({
    name,
    about: 'For addresses: small letters, digits and hyphens, 80 at most.',
    comment: 'For addresses: small letters, digits and hyphens.',
    signature: `(p_text LONGTEXT ${WIDE}) RETURNS VARCHAR(80) ${WIDE}`,
    body: `BEGIN
  -- Letters with accents, and below each the letter without.
  DECLARE v_signs VARCHAR(2000) ${WIDE} DEFAULT
    ${literal(signs)};
  DECLARE v_plain VARCHAR(2000) ${WIDE} DEFAULT
    ${literal(plain)};
  DECLARE v_left LONGTEXT ${WIDE} DEFAULT REGEXP_REPLACE(REPLACE(p_text, 'ß', 'ss'), '\\\\p{M}', '');
  DECLARE v_slug LONGTEXT ${WIDE} DEFAULT '';
  DECLARE v_at, v_found INT DEFAULT 1;
  IF p_text IS NULL THEN
    RETURN NULL;
  END IF;
  WHILE v_at <= CHAR_LENGTH(v_left) DO
    SET v_found = LOCATE(SUBSTRING(v_left, v_at, 1), v_signs);
    SET v_slug = CONCAT(v_slug, IF(v_found = 0, SUBSTRING(v_left, v_at, 1), SUBSTRING(v_plain, v_found, 1)));
    SET v_at = v_at + 1;
  END WHILE;
  SET v_slug = REGEXP_REPLACE(LOWER(v_slug), '[^a-z0-9]+', '-');
  RETURN LEFT(TRIM(BOTH '-' FROM v_slug), 80);
END;`,
  });
}

function matchText(name: string): string {
  return functionText({
    name,
    about: 'Whether all the words occur in a text, whatever their letter case.',
    comment: 'Whether all the words occur in a text.',
    signature: `(
  p_words VARCHAR(4000) ${WIDE},
  p_text LONGTEXT ${WIDE}
) RETURNS BOOLEAN`,
    body: `BEGIN
  DECLARE v_text LONGTEXT ${WIDE};
  DECLARE v_left VARCHAR(4000) ${WIDE} DEFAULT TRIM(REGEXP_REPLACE(LOWER(p_words), '[[:space:]]+', ' '));
  SET v_text = CONCAT(' ', REGEXP_REPLACE(LOWER(COALESCE(p_text, '')), '[^\\\\p{L}\\\\p{N}]+', '  '), ' ');
  IF COALESCE(v_left, '') = '' THEN
    RETURN FALSE;
  END IF;
  LOOP
    IF LOCATE(CONCAT(' ', SUBSTRING_INDEX(v_left, ' ', 1), ' '), v_text) = 0 THEN
      RETURN FALSE;
    END IF;
    IF LOCATE(' ', v_left) = 0 THEN
      RETURN TRUE;
    END IF;
    SET v_left = SUBSTRING(v_left, LOCATE(' ', v_left) + 1);
  END LOOP;
END;`,
  });
}

function jsonText(name: string): string {
  return functionText({
    name,
    about: 'A value of free data as a text; of what is not there, NULL.',
    comment: 'A value of free data as a text.',
    signature: `(p_value JSON) RETURNS LONGTEXT ${WIDE}`,
    body: `RETURN IF(JSON_TYPE(p_value) = 'NULL', NULL, JSON_UNQUOTE(p_value));`,
  });
}

function instantText(name: string): string {
  return functionText({
    name,
    about: 'The moment that a text with its zone says, 2026-01-31T18:30:00Z; NULL: it says none.',
    comment: 'The moment that a text with its zone says.',
    signature: `(p_text VARCHAR(40) ${WIDE}) RETURNS DATETIME(3)`,
    body: `BEGIN
  DECLARE v_zone VARCHAR(10) ${WIDE} DEFAULT REGEXP_SUBSTR(p_text, '(Z|[-+][0-9]{2}:[0-9]{2})$');
  IF p_text NOT REGEXP '^[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?(Z|[-+][0-9]{2}:[0-9]{2})$' THEN
    RETURN NULL;
  END IF;
  RETURN CONVERT_TZ(
    CAST(REPLACE(LEFT(p_text, CHAR_LENGTH(p_text) - CHAR_LENGTH(v_zone)), 'T', ' ') AS DATETIME(3)),
    IF(v_zone = 'Z', '+00:00', v_zone), '+00:00'
  );
END;`,
  });
}

function kmText(name: string): string {
  return functionText({
    name,
    about: 'Kilometres between two places, as the crow flies.',
    comment: 'Kilometres between two places, as the crow flies.',
    signature: `(p_from JSON, p_to JSON) RETURNS DOUBLE`,
    body: `BEGIN
  DECLARE v_from_lat DOUBLE DEFAULT RADIANS(JSON_EXTRACT(p_from, '$.lat') + 0e0);
  DECLARE v_to_lat DOUBLE DEFAULT RADIANS(JSON_EXTRACT(p_to, '$.lat') + 0e0);
  DECLARE v_turn DOUBLE DEFAULT RADIANS((JSON_EXTRACT(p_to, '$.lon') + 0e0) - (JSON_EXTRACT(p_from, '$.lon') + 0e0));
  RETURN 6371 * 2 * ASIN(SQRT(LEAST(1, POW(SIN((v_to_lat - v_from_lat) / 2), 2)
    + COS(v_from_lat) * COS(v_to_lat) * POW(SIN(v_turn / 2), 2))));
END;`,
  });
}

function codeText(code: string): string {
  return functionText({
    name: code,
    about: 'A code that nobody guesses: without 0, 1, I and O. MariaDB has RANDOM_BYTES from 10.10 on.',
    comment: 'A code that nobody guesses.',
    isDeterministic: false,
    signature: `(p_length INT) RETURNS VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
    body: `BEGIN
  DECLARE v_code VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT '';
  WHILE CHAR_LENGTH(v_code) < p_length DO
    SET v_code = CONCAT(v_code, SUBSTRING('ABCDEFGHJKLMNPQRSTUVWXYZ23456789', 1 + ORD(RANDOM_BYTES(1)) MOD 32, 1));
  END WHILE;
  RETURN v_code;
END;`,
  });
}
