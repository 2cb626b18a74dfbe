DROP PROCEDURE IF EXISTS user_outbox;

CREATE PROCEDURE user_outbox(
  IN now BIGINT,
  IN until BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Takes the events of a record, which are its takers until then.'
BEGIN
  DECLARE found CHAR(36);
  SELECT r.id INTO found FROM user_account AS r WHERE r.outbox_at <= now ORDER BY r.outbox_at LIMIT 1;
  UPDATE user_account AS r SET r.outbox_at = until WHERE r.id = found AND r.outbox_at <= now;
  IF ROW_COUNT() = 0 THEN SET found = NULL; END IF;
  -- n.b. one line alone would be taken for what it says, because it is JSON.
  SELECT r.id, CONCAT('lines:\n', r.outbox) AS outbox FROM user_account AS r WHERE r.id = found;
END;
