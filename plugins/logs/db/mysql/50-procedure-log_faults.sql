DROP PROCEDURE IF EXISTS log_faults;

-- n.b. ids are compared byte by byte, whatever collation the database has.
CREATE PROCEDURE log_faults(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN domain VARCHAR(200),
  IN from_id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin,
  IN until_id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Faults by their cause, the newest first. Without a domain: of all.'
BEGIN
  SELECT
    l.cause,
    CAST(SUM(l.line_count) AS SIGNED) AS fault_count,
    MIN(l.id) AS first_id,
    MAX(l.id) AS last_id,
    MAX(l.domain) AS domain,
    MAX(l.version) AS version,
    MAX(l.code) AS code,
    MAX(l.place) AS place,
    MIN(l.message) AS message
  FROM log_line AS l
  WHERE
    l.installation = installation AND l.cause > '' AND l.id >= from_id AND l.id < until_id
    AND (domain = '' OR l.domain = domain)
  GROUP BY l.cause
  ORDER BY last_id DESC
  LIMIT 200;
END;
