DROP PROCEDURE IF EXISTS session_insert;

CREATE PROCEDURE session_insert(
  IN id CHAR(36),
  IN user_id CHAR(36),
  IN place JSON,
  IN family_hash CHAR(64),
  IN token_hash CHAR(64),
  IN refresh_hash CHAR(64),
  IN created_at BIGINT,
  IN token_until BIGINT,
  IN idle_until BIGINT,
  IN expires_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Begins a session.'
BEGIN
  INSERT INTO user_session
    (id, user_id, place, family_hash, token_hash, refresh_hash, created_at, refreshed_at, token_until, idle_until, expires_at, outbox)
  VALUES (id, user_id, place, family_hash, token_hash, refresh_hash, created_at, created_at, token_until, idle_until, expires_at, '');
END;
