DROP PROCEDURE IF EXISTS session_any;

CREATE PROCEDURE session_any(
  IN token_hash CHAR(64)
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The session of a token, or of the one before, also when it has ended.'
BEGIN
  SELECT s.id, s.user_id, s.created_at, s.ended_at
  FROM user_session AS s
  WHERE s.token_hash = token_hash OR s.former_token_hash = token_hash;
END;
