-- Parts of bundles. The id is installation, hash and number: what one installation drops, another one may need.
CREATE TABLE IF NOT EXISTS fleet_bundle (
  id VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  part INT NOT NULL,
  parts INT NOT NULL,
  at BIGINT NOT NULL,
  content MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  KEY fleet_bundle_by_hash (installation, hash)
) ENGINE = InnoDB;
