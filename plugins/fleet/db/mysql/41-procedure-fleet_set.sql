DROP PROCEDURE IF EXISTS fleet_set;

CREATE PROCEDURE fleet_set(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN revision BIGINT,
  IN content LONGTEXT,
  IN next BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Writes the next revision, unless somebody else did since this one was seen.'
BEGIN
  IF revision = 0 THEN
    INSERT IGNORE INTO fleet_revision (installation, revision, content) VALUES (installation, 0, '{}');
  END IF;
  UPDATE fleet_revision AS d
  SET d.revision = next, d.content = content
  WHERE d.installation = installation AND d.revision = revision;
END;
