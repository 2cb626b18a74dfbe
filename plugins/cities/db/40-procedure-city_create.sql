DROP PROCEDURE IF EXISTS city_create;

CREATE PROCEDURE city_create(
  IN id INT UNSIGNED,
  IN name VARCHAR(100),
  IN country CHAR(2),
  IN admin_code VARCHAR(10),
  IN population BIGINT,
  IN latitude DOUBLE,
  IN longitude DOUBLE
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Adds a city and gives it back. Without an id the next free one is taken.'
BEGIN
  DECLARE created INT UNSIGNED;
  CALL _city_check(population, latitude, longitude);
  INSERT INTO city (id, name, country, admin_code, population, latitude, longitude)
  VALUES (id, name, UPPER(country), COALESCE(admin_code, ''), COALESCE(population, 0), latitude, longitude);
  SET created = COALESCE(id, LAST_INSERT_ID());
  SELECT city_list.* FROM city_list WHERE city_list.id = created;
END;
