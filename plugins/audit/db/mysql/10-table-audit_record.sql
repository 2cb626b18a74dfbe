-- Texts are kept exactly as they came: what is hashed is what is read. n.b. CHAR would lose blanks at the end.
CREATE TABLE IF NOT EXISTS audit_record (
  -- Installation and place.
  `key` VARCHAR(130) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seq BIGINT NOT NULL,
  id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  step VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at BIGINT NOT NULL,
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  user_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  user_name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  source VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  op VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  target VARCHAR(2000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  outcome VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  words VARCHAR(4000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  previous VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`key`),
  UNIQUE KEY audit_by_place (installation, seq),
  UNIQUE KEY audit_by_id (id),
  KEY audit_by_order (order_id),
  KEY audit_by_time (installation, at)
) ENGINE = InnoDB;
