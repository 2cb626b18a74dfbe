DROP PROCEDURE IF EXISTS fleet_set;

CREATE PROCEDURE fleet_set(
  IN revision BIGINT,
  IN content LONGTEXT,
  IN next BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Writes the next revision, unless somebody else did since this one was seen.'
BEGIN
  UPDATE fleet_revision AS d SET d.revision = next, d.content = content WHERE d.id = 1 AND d.revision = revision;
END;
