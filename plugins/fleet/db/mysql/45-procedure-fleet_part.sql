DROP PROCEDURE IF EXISTS fleet_part;

CREATE PROCEDURE fleet_part(IN id VARCHAR(200))
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'A part of a bundle.'
BEGIN
  SELECT p.parts, p.content FROM fleet_bundle AS p WHERE p.id = id;
END;
