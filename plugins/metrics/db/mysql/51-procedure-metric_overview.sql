DROP PROCEDURE IF EXISTS metric_overview;

CREATE PROCEDURE metric_overview(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT,
  IN from_at BIGINT,
  IN until_at BIGINT
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Every domain on every node over the whole time.'
BEGIN
  SELECT
    s.domain,
    s.node,
    CAST(SUM(s.calls) AS SIGNED) AS calls,
    CAST(SUM(s.failures) AS SIGNED) AS failures,
    CAST(COALESCE(ROUND(SUM(s.p50_us * s.calls) / NULLIF(SUM(s.calls), 0)), 0) AS SIGNED) AS p50_us,
    MAX(s.p95_us) AS p95_us,
    MAX(s.p99_us) AS p99_us,
    CAST(ROUND(SUM(s.in_flight) / COUNT(*)) AS SIGNED) AS in_flight,
    MAX(s.queued) AS queued,
    CAST(ROUND(SUM(s.waiting) / COUNT(*)) AS SIGNED) AS waiting,
    CAST(ROUND(SUM(s.memory_mb) / COUNT(*)) AS SIGNED) AS memory_mb,
    CAST(ROUND(SUM(s.cpu_permille) / COUNT(*)) AS SIGNED) AS cpu_permille,
    CAST(SUM(s.swaps) AS SIGNED) AS swaps
  FROM metric_sample AS s
  WHERE s.installation = installation AND s.step = step AND s.at >= from_at AND s.at < until_at
  GROUP BY s.domain, s.node
  ORDER BY s.domain, s.node;
END;
