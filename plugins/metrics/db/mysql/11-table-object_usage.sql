-- Calls of one day, of one process of a node: each time it tells all of them, so that nothing is counted twice.
CREATE TABLE IF NOT EXISTS object_usage (
  id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  day INT NOT NULL,
  store VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  object VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  kind VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  domain VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  operation VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  calls BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  p95_us INT NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY usage_by_object (installation, object, day),
  KEY usage_by_domain (installation, domain, day),
  KEY usage_by_day (installation, day),
  KEY usage_by_first (installation, first_at)
) ENGINE = InnoDB;
