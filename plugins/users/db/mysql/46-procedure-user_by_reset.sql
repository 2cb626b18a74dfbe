DROP PROCEDURE IF EXISTS user_by_reset;

CREATE PROCEDURE user_by_reset(
  IN reset_hash CHAR(64),
  IN now BIGINT
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The user who may set his password by this token.'
BEGIN
  SELECT u.id, u.sessions_after
  FROM user_account AS u
  WHERE u.reset_hash = reset_hash AND u.reset_until >= now AND u.deleted_at IS NULL AND NOT u.disabled;
END;
