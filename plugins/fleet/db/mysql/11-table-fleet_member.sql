-- The last report of each node. The id is installation and name.
CREATE TABLE IF NOT EXISTS fleet_member (
  id VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  node VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at BIGINT NOT NULL,
  report LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  KEY fleet_member_by_installation (installation, id)
) ENGINE = InnoDB;
