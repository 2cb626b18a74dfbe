CREATE OR REPLACE SQL SECURITY DEFINER VIEW log_list AS
SELECT
  log_line.id,
  log_line.installation,
  log_line.level,
  log_line.node,
  log_line.domain,
  log_line.version,
  log_line.message,
  log_line.cause,
  log_line.code,
  log_line.place,
  log_line.request_id,
  log_line.trace_id,
  log_line.line_count,
  log_line.fields
FROM log_line;
