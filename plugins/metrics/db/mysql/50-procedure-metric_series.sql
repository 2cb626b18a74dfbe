DROP PROCEDURE IF EXISTS metric_series;

CREATE PROCEDURE metric_series(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT,
  IN domain VARCHAR(200),
  IN node VARCHAR(200),
  IN from_at BIGINT,
  IN until_at BIGINT,
  IN width INT
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Points of a domain at equal distances. Of p50 the mean by calls, of p95 and p99 the highest, of a level the mean.'
BEGIN
  -- Put together moment by moment first: in the order of the key that needs no sorting.
  SELECT
    CAST(MIN(m.at) DIV width * width AS SIGNED) AS at,
    CAST(SUM(m.calls) AS SIGNED) AS calls,
    CAST(SUM(m.failures) AS SIGNED) AS failures,
    CAST(COALESCE(ROUND(SUM(m.slow) / NULLIF(SUM(m.calls), 0)), 0) AS SIGNED) AS p50_us,
    MAX(m.p95_us) AS p95_us,
    MAX(m.p99_us) AS p99_us,
    CAST(ROUND(AVG(m.in_flight)) AS SIGNED) AS in_flight,
    MAX(m.queued) AS queued,
    CAST(ROUND(AVG(m.waiting)) AS SIGNED) AS waiting,
    CAST(ROUND(AVG(m.memory_mb)) AS SIGNED) AS memory_mb,
    CAST(ROUND(AVG(m.cpu_permille)) AS SIGNED) AS cpu_permille,
    CAST(SUM(m.swaps) AS SIGNED) AS swaps
  FROM (
    SELECT
      s.at,
      SUM(s.calls) AS calls,
      SUM(s.failures) AS failures,
      SUM(s.p50_us * s.calls) AS slow,
      MAX(s.p95_us) AS p95_us,
      MAX(s.p99_us) AS p99_us,
      SUM(s.in_flight) AS in_flight,
      MAX(s.queued) AS queued,
      SUM(s.waiting) AS waiting,
      SUM(s.memory_mb) AS memory_mb,
      SUM(s.cpu_permille) AS cpu_permille,
      SUM(s.swaps) AS swaps
    FROM metric_sample AS s
    WHERE
      s.installation = installation AND s.step = step AND s.domain = domain AND s.at >= from_at AND s.at < until_at
      AND (node = '' OR s.node = node)
    GROUP BY s.at
  ) AS m
  GROUP BY m.at DIV width
  ORDER BY MIN(m.at);
END;
