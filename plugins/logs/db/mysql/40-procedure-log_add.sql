DROP PROCEDURE IF EXISTS log_add;

CREATE PROCEDURE log_add(
  -- n.b. named as a store that keeps documents names it.
  IN `lines` LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps the lines of a JSON array; those that are kept already stay as they are.'
BEGIN
  INSERT INTO log_line
    (id, installation, level, node, domain, version, message, cause, code, place, request_id, trace_id, line_count,
    fields)
  SELECT
    added.id, added.installation, added.level, added.node, added.domain, added.version, added.message, added.cause,
    added.code, added.place, added.request_id, added.trace_id, added.line_count, added.fields
  FROM
    JSON_TABLE(
      `lines`,
      '$[*]' COLUMNS (
        id VARCHAR(40) PATH '$._id',
        installation VARCHAR(100) PATH '$.installation',
        level SMALLINT PATH '$.level',
        node VARCHAR(200) PATH '$.node',
        domain VARCHAR(200) PATH '$.domain',
        version VARCHAR(200) PATH '$.version',
        message VARCHAR(2000) PATH '$.message',
        cause VARCHAR(16) PATH '$.cause',
        code VARCHAR(200) PATH '$.code',
        place VARCHAR(200) PATH '$.place',
        request_id VARCHAR(200) PATH '$.request_id',
        trace_id VARCHAR(200) PATH '$.trace_id',
        line_count INT PATH '$.line_count',
        fields MEDIUMTEXT PATH '$.fields'
      )
    ) AS added
  ON DUPLICATE KEY UPDATE log_line.level = log_line.level;
END;
