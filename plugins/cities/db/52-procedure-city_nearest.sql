DROP PROCEDURE IF EXISTS city_nearest;

CREATE PROCEDURE city_nearest(IN latitude DOUBLE, IN longitude DOUBLE, IN wanted INT UNSIGNED)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The cities nearest to a place, with their distance in kilometres on the sphere.'
BEGIN
  -- Degrees of latitude to look at on either side; widened until enough cities lie within that distance.
  DECLARE reach DOUBLE DEFAULT 0.25;
  DECLARE found INT UNSIGNED DEFAULT 0;
  CALL _city_check(0, latitude, longitude);
  widen: LOOP
    SELECT COUNT(*) INTO found
    FROM city
    WHERE
      city.latitude BETWEEN latitude - reach AND latitude + reach
      AND city.deleted_at IS NULL
      AND ACOS(LEAST(1,
        SIN(RADIANS(latitude)) * SIN(RADIANS(city.latitude))
        + COS(RADIANS(latitude)) * COS(RADIANS(city.latitude)) * COS(RADIANS(city.longitude - longitude))
      )) <= RADIANS(reach);
    IF found >= wanted OR reach >= 180 THEN
      LEAVE widen;
    END IF;
    SET reach = reach * 4;
  END LOOP;
  SELECT
    city.id,
    city.name,
    city.country,
    city.population,
    ROUND(6371 * ACOS(LEAST(1,
      SIN(RADIANS(latitude)) * SIN(RADIANS(city.latitude))
      + COS(RADIANS(latitude)) * COS(RADIANS(city.latitude)) * COS(RADIANS(city.longitude - longitude))
    )), 1) AS distance_km
  FROM city
  WHERE city.latitude BETWEEN latitude - reach AND latitude + reach AND city.deleted_at IS NULL
  ORDER BY distance_km, city.id
  LIMIT wanted;
END;
