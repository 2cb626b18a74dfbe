DROP PROCEDURE IF EXISTS session_purge;

CREATE PROCEDURE session_purge(
  IN before_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes sessions that have long ended, some at a time.'
BEGIN
  DELETE FROM user_session WHERE user_session.idle_until < before_at AND user_session.outbox_at IS NULL LIMIT 1000;
END;
