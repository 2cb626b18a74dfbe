DROP PROCEDURE IF EXISTS fleet_report;

CREATE PROCEDURE fleet_report(
  IN id VARCHAR(300),
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN node VARCHAR(200),
  IN at BIGINT,
  IN report LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps the last report of a node.'
BEGIN
  INSERT INTO fleet_member (id, installation, node, at, report)
  VALUES (id, installation, node, at, report)
  ON DUPLICATE KEY UPDATE fleet_member.at = at, fleet_member.report = report;
END;
