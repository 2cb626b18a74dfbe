DROP PROCEDURE IF EXISTS user_attempt_take;

CREATE PROCEDURE user_attempt_take(
  IN id CHAR(64),
  IN seen INT,
  IN failures INT,
  IN failed_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Counts an attempt, unless another one was counted since the count was seen.'
BEGIN
  UPDATE user_attempt AS a SET a.failures = failures, a.failed_at = failed_at WHERE a.id = id AND a.failures = seen;
  IF ROW_COUNT() = 0 AND seen = 0 THEN
    INSERT IGNORE INTO user_attempt (id, failures, failed_at) VALUES (id, failures, failed_at);
  END IF;
END;
