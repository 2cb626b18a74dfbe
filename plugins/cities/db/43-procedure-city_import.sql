DROP PROCEDURE IF EXISTS city_import;

CREATE PROCEDURE city_import(IN cities LONGTEXT)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Adds or replaces the cities of a JSON array, all or none. Running it again changes nothing.'
BEGIN
  IF JSON_VALID(cities) = 0 OR JSON_TYPE(cities) <> 'ARRAY' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'The cities must be a JSON array.';
  END IF;
  -- Wider types than the table's: what does not fit would be cut, or read as 0, instead of being refused.
  IF EXISTS (
    SELECT 1
    FROM
      JSON_TABLE(
        cities,
        '$[*]' COLUMNS (
          id BIGINT PATH '$.id',
          name VARCHAR(400) PATH '$.name',
          country VARCHAR(8) PATH '$.country',
          population BIGINT PATH '$.population',
          latitude DOUBLE PATH '$.latitude',
          longitude DOUBLE PATH '$.longitude'
        )
      ) AS incoming
    WHERE
      (
        incoming.id BETWEEN 1 AND 4294967295
        AND CHAR_LENGTH(incoming.name) BETWEEN 1 AND 100
        AND CHAR_LENGTH(incoming.country) = 2
        AND incoming.population BETWEEN 0 AND 4294967295
        AND incoming.latitude BETWEEN -90 AND 90
        AND incoming.longitude BETWEEN -180 AND 180
      ) IS NOT TRUE
  ) THEN
    SIGNAL SQLSTATE '45000'
    SET MESSAGE_TEXT = 'Every city needs id, name (at most 100 characters), country, population from 0, latitude, longitude.';
  END IF;
  INSERT INTO city (id, name, country, admin_code, feature_code, population, latitude, longitude)
  SELECT
    incoming.id,
    incoming.name,
    incoming.country,
    COALESCE(incoming.admin_code, ''),
    COALESCE(incoming.feature_code, 'PPL'),
    incoming.population,
    incoming.latitude,
    incoming.longitude
  FROM
    JSON_TABLE(
      cities,
      '$[*]' COLUMNS (
        id INT UNSIGNED PATH '$.id',
        name VARCHAR(100) PATH '$.name',
        country CHAR(2) PATH '$.country',
        admin_code VARCHAR(10) PATH '$.admin_code',
        feature_code VARCHAR(10) PATH '$.feature_code',
        population INT UNSIGNED PATH '$.population',
        latitude DOUBLE PATH '$.latitude',
        longitude DOUBLE PATH '$.longitude'
      )
    ) AS incoming
  ON DUPLICATE KEY UPDATE
    name = incoming.name,
    country = incoming.country,
    admin_code = COALESCE(incoming.admin_code, ''),
    feature_code = COALESCE(incoming.feature_code, 'PPL'),
    population = incoming.population,
    latitude = incoming.latitude,
    longitude = incoming.longitude,
    deleted_at = NULL;
  SELECT JSON_LENGTH(cities) AS imported;
END;
