DROP PROCEDURE IF EXISTS user_attempt_clear;

CREATE PROCEDURE user_attempt_clear(
  IN id CHAR(64)
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Forgets the attempts of a name or caller.'
BEGIN
  UPDATE user_attempt AS a SET a.failures = 0 WHERE a.id = id;
END;
