DROP PROCEDURE IF EXISTS fleet_desired;

CREATE PROCEDURE fleet_desired(IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'What all nodes shall run.'
BEGIN
  SELECT d.revision, d.content FROM fleet_revision AS d WHERE d.installation = installation;
END;
