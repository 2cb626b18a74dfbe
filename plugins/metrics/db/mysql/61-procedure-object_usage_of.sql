DROP PROCEDURE IF EXISTS object_usage_of;

CREATE PROCEDURE object_usage_of(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN object VARCHAR(200),
  IN domain VARCHAR(200),
  IN from_day INT
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'How much objects are used. Without a name: all objects; without a domain: by all.'
BEGIN
  SELECT
    u.store,
    u.object,
    MAX(u.kind) AS kind,
    u.domain,
    u.version,
    u.operation,
    CAST(SUM(u.calls) AS SIGNED) AS calls,
    CAST(SUM(u.failures) AS SIGNED) AS failures,
    CAST(COALESCE(ROUND(SUM(u.p95_us * u.calls) / NULLIF(SUM(u.calls), 0)), 0) AS SIGNED) AS p95_us,
    MIN(u.first_at) AS first_at,
    MAX(u.last_at) AS last_at
  FROM object_usage AS u
  WHERE
    u.installation = installation AND u.day >= from_day AND u.object <> '' AND (object = '' OR u.object = object) AND (domain = '' OR u.domain = domain)
  GROUP BY u.store, u.object, u.domain, u.version, u.operation
  ORDER BY u.store, u.object, u.domain, u.version, u.operation
  LIMIT 2000;
END;
