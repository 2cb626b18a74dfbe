DROP PROCEDURE IF EXISTS session_end;

CREATE PROCEDURE session_end(
  IN id CHAR(36),
  IN ended_at BIGINT,
  IN event LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Ends a session, together with what others are to be told of it.'
BEGIN
  UPDATE user_session AS s
  SET s.ended_at = ended_at, s.outbox = CONCAT(s.outbox, event, '\n'), s.outbox_at = ended_at
  WHERE s.id = id AND s.ended_at IS NULL;
END;
