-- The last report of each node.
CREATE TABLE IF NOT EXISTS fleet_member (
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at BIGINT NOT NULL,
  report LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (node)
) ENGINE = InnoDB;
