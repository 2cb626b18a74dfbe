DROP PROCEDURE IF EXISTS fleet_drop;

CREATE PROCEDURE fleet_drop(IN hash VARCHAR(64))
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes the parts of a bundle.'
BEGIN
  DELETE p FROM fleet_bundle AS p WHERE p.hash = hash;
END;
