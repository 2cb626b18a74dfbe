DROP PROCEDURE IF EXISTS object_usage_purge;

CREATE PROCEDURE object_usage_purge(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN before_day INT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes what was counted before, some at a time.'
BEGIN
  DELETE FROM object_usage
  WHERE object_usage.installation = installation AND object_usage.day < before_day
  ORDER BY object_usage.day
  LIMIT 2000;
END;
