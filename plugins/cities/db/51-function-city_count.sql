DROP FUNCTION IF EXISTS city_count;

CREATE FUNCTION city_count(country CHAR(2)) RETURNS INT UNSIGNED
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Cities of one country, or of all (NULL).'
BEGIN
  IF country IS NULL THEN
    RETURN (SELECT COUNT(*) FROM city WHERE city.deleted_at IS NULL);
  END IF;
  RETURN (SELECT COUNT(*) FROM city WHERE city.country = country AND city.deleted_at IS NULL);
END;
