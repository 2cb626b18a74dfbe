DROP PROCEDURE IF EXISTS log_purge;

-- n.b. ids are compared byte by byte, whatever collation the database has.
CREATE PROCEDURE log_purge(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN least_level SMALLINT,
  IN most_level SMALLINT,
  IN before_id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes lines of these levels that are older, some at a time: whoever writes meanwhile waits for no more than those.'
BEGIN
  DELETE FROM log_line
  WHERE
    log_line.installation = installation AND log_line.id < before_id
    AND log_line.level BETWEEN least_level AND most_level
  ORDER BY log_line.id
  LIMIT 2000;
END;
