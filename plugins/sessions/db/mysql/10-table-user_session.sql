-- No token is kept, only what SHA-256 makes of it. Instants are milliseconds since 1970, by the clocks of the hosts.
CREATE TABLE IF NOT EXISTS user_session (
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  place JSON NOT NULL,
  family_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  token_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  refresh_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- The pair before, and what the present one was derived from it with: both tabs that refresh at once get the same.
  former_token_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  former_refresh_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  former_until BIGINT NOT NULL DEFAULT 0,
  salt VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  refreshed_at BIGINT NOT NULL,
  token_until BIGINT NOT NULL,
  idle_until BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  ended_at BIGINT NULL,
  outbox LONGTEXT NOT NULL,
  outbox_at BIGINT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY session_by_family (family_hash),
  UNIQUE KEY session_by_token (token_hash),
  KEY session_by_former_token (former_token_hash),
  KEY session_by_user (user_id, created_at),
  KEY session_by_end (idle_until),
  KEY session_by_outbox (outbox_at)
) ENGINE = InnoDB;
