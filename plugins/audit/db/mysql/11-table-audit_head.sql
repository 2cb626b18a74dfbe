-- One row: the last record. Whoever appends holds its lock.
CREATE TABLE IF NOT EXISTS audit_head (
  id TINYINT NOT NULL,
  seq BIGINT NOT NULL,
  hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO audit_head (id, seq, hash) VALUES (1, 0, '');
