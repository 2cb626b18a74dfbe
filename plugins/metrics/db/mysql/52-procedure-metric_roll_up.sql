DROP PROCEDURE IF EXISTS metric_roll_up;

CREATE PROCEDURE metric_roll_up(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT,
  IN coarse MEDIUMINT,
  IN from_at BIGINT,
  IN until_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Puts finer samples together and keeps what comes of it. Running it again changes nothing.'
BEGIN
  INSERT INTO metric_sample
    (installation, step, domain, at, node, calls, failures, p50_us, p95_us, p99_us, in_flight, queued, waiting,
    memory_mb, cpu_permille, swaps)
  SELECT
    installation,
    coarse,
    s.domain,
    MIN(s.at) DIV coarse * coarse,
    s.node,
    LEAST(SUM(s.calls), 2000000000),
    LEAST(SUM(s.failures), 2000000000),
    COALESCE(ROUND(SUM(s.p50_us * s.calls) / NULLIF(SUM(s.calls), 0)), 0),
    MAX(s.p95_us),
    MAX(s.p99_us),
    ROUND(AVG(s.in_flight)),
    MAX(s.queued),
    ROUND(AVG(s.waiting)),
    MAX(s.memory_mb),
    ROUND(AVG(s.cpu_permille)),
    SUM(s.swaps)
  FROM metric_sample AS s
  WHERE s.installation = installation AND s.step = step AND s.at >= from_at AND s.at < until_at
  GROUP BY s.domain, s.node, s.at DIV coarse
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
  -- Nothing is left to be kept: a store that cannot do this gives the rows instead.
  SELECT
    s.step, s.domain, s.at, s.node, s.calls, s.failures, s.p50_us, s.p95_us, s.p99_us, s.in_flight, s.queued,
    s.waiting, s.memory_mb, s.cpu_permille, s.swaps
  FROM metric_sample AS s
  WHERE s.installation = '' AND s.step = 0 AND s.domain = '' AND s.at < 0;
END;
