DROP PROCEDURE IF EXISTS metric_put;

CREATE PROCEDURE metric_put(
  IN id VARCHAR(500),
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT,
  IN domain VARCHAR(200),
  IN at BIGINT,
  IN node VARCHAR(200),
  IN calls INT,
  IN failures INT,
  IN p50_us INT,
  IN p95_us INT,
  IN p99_us INT,
  IN in_flight INT,
  IN queued INT,
  IN waiting INT,
  IN memory_mb INT,
  IN cpu_permille INT,
  IN swaps INT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps one sample; one that is there is replaced.'
BEGIN
  INSERT INTO metric_sample
    (installation, step, domain, at, node, calls, failures, p50_us, p95_us, p99_us, in_flight, queued, waiting,
    memory_mb, cpu_permille, swaps)
  VALUES
    (installation, step, domain, at, node, calls, failures, p50_us, p95_us, p99_us, in_flight, queued, waiting,
    memory_mb, cpu_permille, swaps)
  ON DUPLICATE KEY UPDATE
    metric_sample.calls = VALUES(calls),
    metric_sample.failures = VALUES(failures),
    metric_sample.p50_us = VALUES(p50_us),
    metric_sample.p95_us = VALUES(p95_us),
    metric_sample.p99_us = VALUES(p99_us),
    metric_sample.in_flight = VALUES(in_flight),
    metric_sample.queued = VALUES(queued),
    metric_sample.waiting = VALUES(waiting),
    metric_sample.memory_mb = VALUES(memory_mb),
    metric_sample.cpu_permille = VALUES(cpu_permille),
    metric_sample.swaps = VALUES(swaps);
END;
