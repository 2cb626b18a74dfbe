-- A row for each installation: what all its nodes shall run, as JSON. It is written whole, so that nobody ever sees a part of a revision.
CREATE TABLE IF NOT EXISTS fleet_revision (
  installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  revision BIGINT NOT NULL,
  content LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (installation)
) ENGINE = InnoDB;
