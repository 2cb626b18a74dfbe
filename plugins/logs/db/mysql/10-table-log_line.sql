-- The id begins with the instant, so that the order of ids is that of time: ids bound every search, and pages go on by them.
CREATE TABLE IF NOT EXISTS log_line (
  id VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  level SMALLINT NOT NULL,
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  domain VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  message VARCHAR(2000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  cause VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  code VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  place VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  request_id VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  trace_id VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  line_count INT NOT NULL,
  fields MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  KEY log_by_level (level, id),
  KEY log_by_domain (domain, id),
  KEY log_by_node (node, id),
  KEY log_by_cause (cause, id),
  KEY log_by_request (request_id, id),
  KEY log_by_trace (trace_id, id)
) ENGINE = InnoDB;
