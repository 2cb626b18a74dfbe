-- Instants are milliseconds since 1970, by the clocks of the hosts: they are compared with one another only.
-- What others are to be told of a user is kept in his own row, in the statement that changes it: an event of the outbox is a line of JSON.
CREATE TABLE IF NOT EXISTS user_account (
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) NOT NULL,
  -- The name in the form in which two are the same; of a deleted user the id.
  name_key VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  roles JSON NOT NULL,
  password VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  disabled BOOLEAN NOT NULL DEFAULT FALSE,
  created_at BIGINT NOT NULL,
  password_at BIGINT NOT NULL,
  -- Sessions that began until then have ended.
  sessions_after BIGINT NOT NULL DEFAULT 0,
  reset_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  reset_until BIGINT NOT NULL DEFAULT 0,
  deleted_at BIGINT NULL,
  outbox LONGTEXT NOT NULL,
  -- From when on somebody may take the events; NULL: there are none.
  outbox_at BIGINT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY user_by_name (name_key),
  UNIQUE KEY user_by_reset (reset_hash),
  KEY user_by_outbox (outbox_at)
) ENGINE = InnoDB;
