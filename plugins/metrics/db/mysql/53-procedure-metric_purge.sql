DROP PROCEDURE IF EXISTS metric_purge;

CREATE PROCEDURE metric_purge(
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN step MEDIUMINT,
  IN before_at BIGINT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Removes samples of this fineness that are older, some at a time.'
BEGIN
  DELETE FROM metric_sample
  WHERE
    metric_sample.installation = installation AND metric_sample.step = step AND metric_sample.at < before_at
  ORDER BY metric_sample.at
  LIMIT 5000;
END;
