DROP PROCEDURE IF EXISTS fleet_report;

CREATE PROCEDURE fleet_report(
  IN node VARCHAR(200),
  IN at BIGINT,
  IN report LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Keeps the last report of a node.'
BEGIN
  INSERT INTO fleet_member (node, at, report)
  VALUES (node, at, report)
  ON DUPLICATE KEY UPDATE fleet_member.at = at, fleet_member.report = report;
END;
