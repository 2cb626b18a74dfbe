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
    ...(used.has('random_code') ? { [code]: codeText(code) } : {}),
  };
}

function localText(local: string, zone: string): string {
  return `${remark(`What a clock in ${zone} shows at a moment. It needs the time zone tables of the server: mysql_tzinfo_to_sql fills them.`)}
${HEAD}
DROP FUNCTION IF EXISTS ${local};

CREATE FUNCTION ${local}(p_moment DATETIME(3)) RETURNS DATETIME(3)
  SQL SECURITY DEFINER
  DETERMINISTIC
  READS SQL DATA
  COMMENT 'What a clock shows at a moment.'
BEGIN
  DECLARE v_local DATETIME(3);
  SET v_local = CONVERT_TZ(p_moment, '+00:00', ${literal(zone)});
  IF v_local IS NULL AND p_moment IS NOT NULL THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1298, MESSAGE_TEXT = ${literal(`The server does not know the time zone ${zone}.`)};
  END IF;
  RETURN v_local;
END;
`;
}

function momentText(moment: string, { local, zone }: { readonly local: string; readonly zone: string }): string {
  return `${remark(`The moment at which a clock in ${zone} shows this. What summer time leaves out counts as an hour later; what is there twice, as the second.`)}
${HEAD}
DROP FUNCTION IF EXISTS ${moment};

CREATE FUNCTION ${moment}(p_local DATETIME(3)) RETURNS DATETIME(3)
  SQL SECURITY DEFINER
  DETERMINISTIC
  READS SQL DATA
  COMMENT 'The moment at which a clock shows this.'
BEGIN
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
END;
`;
}

function momentOfUtc(moment: string): string {
  return `${remark('The moment at which a clock shows this.')}
${HEAD}
DROP FUNCTION IF EXISTS ${moment};

CREATE FUNCTION ${moment}(p_local DATETIME(3)) RETURNS DATETIME(3)
  SQL SECURITY DEFINER
  DETERMINISTIC
  NO SQL
  COMMENT 'The moment at which a clock shows this.'
RETURN p_local;
`;
}

function tenantText(tenant: string): string {
  return `${remark('The organisation of whoever calls: the role that begins with tenant:, without that.')}
${HEAD}
DROP FUNCTION IF EXISTS ${tenant};

CREATE FUNCTION ${tenant}(p_roles JSON) RETURNS VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  SQL SECURITY DEFINER
  DETERMINISTIC
  NO SQL
  COMMENT 'The organisation of whoever calls.'
RETURN SUBSTRING(JSON_UNQUOTE(JSON_EXTRACT(p_roles, JSON_UNQUOTE(JSON_SEARCH(p_roles, 'one', 'tenant:%')))), 8);
`;
}

function codeText(code: string): string {
  return `${remark('A code that nobody guesses: without 0, 1, I and O. MariaDB has RANDOM_BYTES from 10.10 on.')}
${HEAD}
DROP FUNCTION IF EXISTS ${code};

CREATE FUNCTION ${code}(p_length INT) RETURNS VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  SQL SECURITY DEFINER
  NOT DETERMINISTIC
  NO SQL
  COMMENT 'A code that nobody guesses.'
BEGIN
  DECLARE v_code VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT '';
  WHILE CHAR_LENGTH(v_code) < p_length DO
    SET v_code = CONCAT(v_code, SUBSTRING('ABCDEFGHJKLMNPQRSTUVWXYZ23456789', 1 + ORD(RANDOM_BYTES(1)) MOD 32, 1));
  END WHILE;
  RETURN v_code;
END;
`;
}
