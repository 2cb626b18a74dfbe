DROP PROCEDURE IF EXISTS city_totals;

CREATE PROCEDURE city_totals(IN country CHAR(2))
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Cities and inhabitants of one country, or of each (NULL), the most populous first.'
BEGIN
  -- Two statements: an OR with the parameter would keep the index from being used.
  IF country IS NULL THEN
    SELECT
      city.country,
      COUNT(*) AS cities,
      CAST(SUM(city.population) AS UNSIGNED) AS population,
      MAX(city.population) AS largest
    FROM city
    WHERE city.deleted_at IS NULL
    GROUP BY city.country
    ORDER BY population DESC;
  ELSE
    SELECT
      city.country,
      COUNT(*) AS cities,
      CAST(SUM(city.population) AS UNSIGNED) AS population,
      MAX(city.population) AS largest
    FROM city
    WHERE city.country = country AND city.deleted_at IS NULL
    GROUP BY city.country;
  END IF;
END;
