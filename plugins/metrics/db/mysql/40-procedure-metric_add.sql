DROP PROCEDURE IF EXISTS metric_add;

CREATE PROCEDURE metric_add(IN samples LONGTEXT)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps the samples of a JSON array; one that is there is replaced.'
BEGIN
  INSERT INTO metric_sample
    (installation, step, domain, at, node, calls, failures, p50_us, p95_us, p99_us, in_flight, queued, waiting,
    memory_mb, cpu_permille, swaps)
  SELECT
    added.installation, added.step, added.domain, added.at, added.node, added.calls, added.failures, added.p50_us, added.p95_us,
    added.p99_us, added.in_flight, added.queued, added.waiting, added.memory_mb, added.cpu_permille,
    added.swaps
  FROM
    JSON_TABLE(
      samples,
      '$[*]' COLUMNS (
        installation VARCHAR(100) PATH '$.installation',
        step MEDIUMINT PATH '$.step',
        domain VARCHAR(200) PATH '$.domain',
        at BIGINT PATH '$.at',
        node VARCHAR(200) PATH '$.node',
        calls INT PATH '$.calls',
        failures INT PATH '$.failures',
        p50_us INT PATH '$.p50_us',
        p95_us INT PATH '$.p95_us',
        p99_us INT PATH '$.p99_us',
        in_flight INT PATH '$.in_flight',
        queued INT PATH '$.queued',
        waiting INT PATH '$.waiting',
        memory_mb INT PATH '$.memory_mb',
        cpu_permille INT PATH '$.cpu_permille',
        swaps INT PATH '$.swaps'
      )
    ) AS added
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
