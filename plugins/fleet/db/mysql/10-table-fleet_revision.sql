-- One row: what all nodes shall run, as JSON. It is written whole, so that nobody ever sees a part of a revision.
CREATE TABLE IF NOT EXISTS fleet_revision (
  id TINYINT NOT NULL,
  revision BIGINT NOT NULL,
  content LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO fleet_revision (id, revision, content) VALUES (1, 0, '{}');
