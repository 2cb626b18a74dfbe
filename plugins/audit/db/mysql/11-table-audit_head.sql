-- A row for each installation: the last record. Whoever appends holds its lock.
CREATE TABLE IF NOT EXISTS audit_head (
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seq BIGINT NOT NULL,
  hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (installation)
) ENGINE = InnoDB;
