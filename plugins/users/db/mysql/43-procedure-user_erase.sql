DROP PROCEDURE IF EXISTS user_erase;

CREATE PROCEDURE user_erase(
  IN id CHAR(36),
  IN deleted_at BIGINT,
  IN event LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Takes everything personal out of a user, who is gone from then on; what others are to be told of it stays.'
BEGIN
  UPDATE user_account AS u
  SET
    u.name = '',
    u.name_key = u.id,
    u.roles = '[]',
    u.password = '',
    u.disabled = TRUE,
    u.reset_until = 0,
    u.sessions_after = deleted_at,
    u.deleted_at = deleted_at,
    u.outbox = CONCAT(u.outbox, event, '\n'),
    u.outbox_at = deleted_at
  WHERE u.id = id AND u.deleted_at IS NULL;
END;
