DROP PROCEDURE IF EXISTS user_secret;

CREATE PROCEDURE user_secret(
  IN name_key VARCHAR(200)
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The user of a name, with the hash of his password.'
BEGIN
  SELECT u.id, u.name, u.roles, u.disabled, u.password, u.sessions_after
  FROM user_account AS u
  WHERE u.name_key = name_key AND u.deleted_at IS NULL;
END;
