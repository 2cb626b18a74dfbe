DROP PROCEDURE IF EXISTS fleet_drop;

CREATE PROCEDURE fleet_drop(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN hash VARCHAR(64)
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes the parts of a bundle.'
BEGIN
  DELETE p FROM fleet_bundle AS p WHERE p.installation = installation AND p.hash = hash;
END;
