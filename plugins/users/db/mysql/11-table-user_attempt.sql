-- Sign-ins that failed, by the hash of a name or of a caller; also of names that nobody has.
CREATE TABLE IF NOT EXISTS user_attempt (
  id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  failures INT NOT NULL,
  failed_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY attempt_by_age (failed_at)
) ENGINE = InnoDB;
