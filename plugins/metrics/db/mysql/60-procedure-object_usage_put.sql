DROP PROCEDURE IF EXISTS object_usage_put;

CREATE PROCEDURE object_usage_put(
  IN id CHAR(64),
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN day INT,
  IN store VARCHAR(200),
  IN object VARCHAR(200),
  IN kind VARCHAR(20),
  IN domain VARCHAR(200),
  IN version VARCHAR(200),
  IN operation VARCHAR(200),
  IN node VARCHAR(200),
  IN calls BIGINT,
  IN failures BIGINT,
  IN p95_us INT,
  IN first_at BIGINT,
  IN last_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps what one process counted on one day. What comes late, when more is known already, changes nothing.'
BEGIN
  INSERT INTO object_usage
    (id, installation, day, store, object, kind, domain, version, operation, node, calls, failures, p95_us,
    first_at, last_at)
  VALUES
    (id, installation, day, store, object, kind, domain, version, operation, node, calls, failures, p95_us,
    first_at, last_at)
  ON DUPLICATE KEY UPDATE
    object_usage.p95_us = IF(VALUES(calls) >= object_usage.calls, VALUES(p95_us), object_usage.p95_us),
    object_usage.failures = GREATEST(object_usage.failures, VALUES(failures)),
    object_usage.last_at = GREATEST(object_usage.last_at, VALUES(last_at)),
    object_usage.calls = GREATEST(object_usage.calls, VALUES(calls));
END;
