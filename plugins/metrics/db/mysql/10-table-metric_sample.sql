-- In the order in which graphs are read: one domain, one fineness, from an instant on. Instants are seconds, times microseconds.
CREATE TABLE IF NOT EXISTS metric_sample (
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  step MEDIUMINT NOT NULL,
  domain VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at BIGINT NOT NULL,
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  calls INT NOT NULL,
  failures INT NOT NULL,
  p50_us INT NOT NULL,
  p95_us INT NOT NULL,
  p99_us INT NOT NULL,
  in_flight INT NOT NULL,
  queued INT NOT NULL,
  waiting INT NOT NULL,
  memory_mb INT NOT NULL,
  cpu_permille INT NOT NULL,
  swaps INT NOT NULL,
  PRIMARY KEY (installation, step, domain, at, node),
  KEY metric_by_time (installation, step, at)
) ENGINE = InnoDB;
