DROP PROCEDURE IF EXISTS user_outbox_rest;

CREATE PROCEDURE user_outbox_rest(
  IN id CHAR(36)
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Lets a record without events rest.'
BEGIN
  UPDATE user_account AS r SET r.outbox_at = NULL WHERE r.id = id AND r.outbox = '';
END;
