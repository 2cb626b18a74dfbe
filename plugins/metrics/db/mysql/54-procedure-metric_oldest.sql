DROP PROCEDURE IF EXISTS metric_oldest;

CREATE PROCEDURE metric_oldest(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The instant of the oldest sample of this fineness.'
BEGIN
  SELECT s.at FROM metric_sample AS s WHERE s.installation = installation AND s.step = step ORDER BY s.at LIMIT 1;
END;
