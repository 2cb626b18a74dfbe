DROP PROCEDURE IF EXISTS user_attempt_add;

CREATE PROCEDURE user_attempt_add(
  IN id CHAR(64),
  IN failed_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Counts a failed attempt.'
BEGIN
  INSERT INTO user_attempt (id, failures, failed_at) VALUES (id, 1, failed_at)
  ON DUPLICATE KEY UPDATE failures = user_attempt.failures + 1, failed_at = VALUES(failed_at);
END;
