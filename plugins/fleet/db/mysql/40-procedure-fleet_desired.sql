DROP PROCEDURE IF EXISTS fleet_desired;

CREATE PROCEDURE fleet_desired()
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'What all nodes shall run.'
BEGIN
  SELECT d.revision, d.content FROM fleet_revision AS d WHERE d.id = 1;
END;
