DROP PROCEDURE IF EXISTS city_update;

CREATE PROCEDURE city_update(
  IN id INT UNSIGNED,
  IN name VARCHAR(100),
  IN admin_code VARCHAR(10),
  IN population BIGINT,
  IN latitude DOUBLE,
  IN longitude DOUBLE
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Changes what is given (NULL keeps) and gives the city back; no row where there is none.'
BEGIN
  CALL _city_check(population, latitude, longitude);
  UPDATE city
  SET
    city.name = COALESCE(name, city.name),
    city.admin_code = COALESCE(admin_code, city.admin_code),
    city.population = COALESCE(population, city.population),
    city.latitude = COALESCE(latitude, city.latitude),
    city.longitude = COALESCE(longitude, city.longitude)
  WHERE city.id = id AND city.deleted_at IS NULL;
  SELECT city_list.* FROM city_list WHERE city_list.id = id;
END;
