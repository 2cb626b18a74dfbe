DROP PROCEDURE IF EXISTS log_put;

CREATE PROCEDURE log_put(
  IN id VARCHAR(40),
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN level SMALLINT,
  IN node VARCHAR(200),
  IN domain VARCHAR(200),
  IN version VARCHAR(200),
  IN message VARCHAR(2000),
  IN cause VARCHAR(16),
  IN code VARCHAR(200),
  IN place VARCHAR(200),
  IN request_id VARCHAR(200),
  IN trace_id VARCHAR(200),
  IN line_count INT,
  IN fields MEDIUMTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps one line, unless it is kept already.'
BEGIN
  INSERT INTO log_line
    (id, installation, level, node, domain, version, message, cause, code, place, request_id, trace_id, line_count,
    fields)
  VALUES
    (id, installation, level, node, domain, version, message, cause, code, place, request_id, trace_id, line_count,
    fields)
  ON DUPLICATE KEY UPDATE log_line.level = log_line.level;
END;
