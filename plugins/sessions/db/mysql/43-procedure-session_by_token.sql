DROP PROCEDURE IF EXISTS session_by_token;

CREATE PROCEDURE session_by_token(
  IN token_hash CHAR(64)
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The session of a token, or of the one before.'
BEGIN
  SELECT
    s.id, s.user_id, s.token_hash, s.refresh_hash, s.former_token_hash, s.former_refresh_hash, s.former_until, s.salt,
    s.created_at, s.token_until, s.idle_until, s.expires_at
  FROM user_session AS s
  WHERE (s.token_hash = token_hash OR s.former_token_hash = token_hash) AND s.ended_at IS NULL;
END;
