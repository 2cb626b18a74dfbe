CREATE OR REPLACE SQL SECURITY DEFINER VIEW object_usage_list AS
SELECT
  object_usage.id,
  object_usage.installation,
  object_usage.day,
  object_usage.store,
  object_usage.object,
  object_usage.kind,
  object_usage.domain,
  object_usage.version,
  object_usage.operation,
  object_usage.node,
  object_usage.calls,
  object_usage.failures,
  object_usage.p95_us,
  object_usage.first_at,
  object_usage.last_at
FROM object_usage;
