DROP PROCEDURE IF EXISTS object_usage_purge;

CREATE PROCEDURE object_usage_purge(IN before_day INT)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes what was counted before, some at a time.'
BEGIN
  DELETE FROM object_usage WHERE object_usage.day < before_day ORDER BY object_usage.day LIMIT 2000;
END;
