DROP PROCEDURE IF EXISTS user_attempt_purge;

CREATE PROCEDURE user_attempt_purge(
  IN before_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes what is long ago, some at a time.'
BEGIN
  DELETE FROM user_attempt WHERE user_attempt.failed_at < before_at LIMIT 1000;
END;
