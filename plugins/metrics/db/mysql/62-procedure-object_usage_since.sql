DROP PROCEDURE IF EXISTS object_usage_since;

CREATE PROCEDURE object_usage_since(IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'From when on calls are counted.'
BEGIN
  SELECT MIN(u.first_at) AS first_at FROM object_usage AS u WHERE u.installation = installation;
END;
