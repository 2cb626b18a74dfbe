DROP PROCEDURE IF EXISTS session_rotate;

CREATE PROCEDURE session_rotate(
  IN id CHAR(36),
  IN former_refresh_hash CHAR(64),
  IN former_token_hash CHAR(64),
  IN former_until BIGINT,
  IN salt VARCHAR(64),
  IN token_hash CHAR(64),
  IN refresh_hash CHAR(64),
  IN refreshed_at BIGINT,
  IN token_until BIGINT,
  IN idle_until BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Gives a session its next pair of tokens, unless another one did since its pair was seen.'
BEGIN
  UPDATE user_session AS s
  SET
    s.former_token_hash = former_token_hash,
    s.former_refresh_hash = former_refresh_hash,
    s.former_until = former_until,
    s.salt = salt,
    s.token_hash = token_hash,
    s.refresh_hash = refresh_hash,
    s.refreshed_at = refreshed_at,
    s.token_until = token_until,
    s.idle_until = idle_until
  WHERE s.id = id AND s.refresh_hash = former_refresh_hash AND s.ended_at IS NULL;
END;
