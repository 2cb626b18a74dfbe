DROP PROCEDURE IF EXISTS fleet_keep;

CREATE PROCEDURE fleet_keep(
  IN id VARCHAR(200),
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN hash VARCHAR(64),
  IN part INT,
  IN parts INT,
  IN at BIGINT,
  IN content MEDIUMTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps a part of a bundle, in place of the one that was there.'
BEGIN
  REPLACE INTO fleet_bundle (id, installation, hash, part, parts, at, content)
  VALUES (id, installation, hash, part, parts, at, content);
END;
