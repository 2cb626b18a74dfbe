DROP PROCEDURE IF EXISTS user_reset;

CREATE PROCEDURE user_reset(
  IN reset_hash CHAR(64),
  IN now BIGINT,
  IN password VARCHAR(255),
  IN sessions_after BIGINT,
  IN event LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Sets the password of the user who has this token, once.'
BEGIN
  DECLARE found CHAR(36);
  SELECT u.id INTO found FROM user_account AS u
  WHERE u.reset_hash = reset_hash AND u.reset_until >= now AND u.deleted_at IS NULL AND NOT u.disabled;
  UPDATE user_account AS u
  SET
    u.password = password,
    u.password_at = now,
    u.sessions_after = GREATEST(u.sessions_after, sessions_after),
    u.reset_until = 0,
    u.outbox = CONCAT(u.outbox, event, '\n'),
    u.outbox_at = now
  WHERE u.id = found AND u.reset_hash = reset_hash AND u.reset_until >= now;
  IF ROW_COUNT() = 0 THEN SET found = NULL; END IF;
  SELECT user_list.* FROM user_list WHERE user_list.id = found;
END;
