DROP PROCEDURE IF EXISTS user_brief;

CREATE PROCEDURE user_brief(
  IN id CHAR(36)
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'What a session needs to know of its user.'
BEGIN
  SELECT u.id, u.name, u.roles, u.disabled, u.sessions_after FROM user_account AS u WHERE u.id = id AND u.deleted_at IS NULL;
END;
