DROP PROCEDURE IF EXISTS user_outbox_done;

CREATE PROCEDURE user_outbox_done(
  IN id CHAR(36),
  IN published LONGTEXT,
  IN events JSON
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes events that were published.'
BEGIN
  UPDATE user_account AS r SET r.outbox = SUBSTRING(r.outbox, CHAR_LENGTH(published) + 1)
  WHERE r.id = id AND LEFT(r.outbox, CHAR_LENGTH(published)) = published;
END;
