DROP PROCEDURE IF EXISTS user_change;

CREATE PROCEDURE user_change(
  IN id CHAR(36),
  IN name VARCHAR(100),
  IN name_key VARCHAR(200),
  IN roles JSON,
  IN disabled BOOLEAN,
  IN password VARCHAR(255),
  IN password_at BIGINT,
  IN sessions_after BIGINT,
  IN reset_hash CHAR(64),
  IN reset_until BIGINT,
  IN event LONGTEXT,
  IN outbox_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Changes what is given (NULL keeps), together with what others are to be told of it.'
BEGIN
  UPDATE user_account AS u
  SET
    u.name = COALESCE(name, u.name),
    u.name_key = COALESCE(name_key, u.name_key),
    u.roles = COALESCE(roles, u.roles),
    u.disabled = COALESCE(disabled, u.disabled),
    u.password = COALESCE(password, u.password),
    u.password_at = COALESCE(password_at, u.password_at),
    u.sessions_after = COALESCE(GREATEST(sessions_after, u.sessions_after), u.sessions_after),
    u.reset_hash = COALESCE(reset_hash, u.reset_hash),
    u.reset_until = COALESCE(reset_until, u.reset_until),
    u.outbox = CONCAT(u.outbox, IF(event IS NULL, '', CONCAT(event, '\n'))),
    u.outbox_at = COALESCE(outbox_at, u.outbox_at)
  WHERE u.id = id AND u.deleted_at IS NULL;
  SELECT user_list.* FROM user_list WHERE user_list.id = id;
END;
