CREATE OR REPLACE SQL SECURITY DEFINER VIEW city_list AS
SELECT
  city.id,
  city.name,
  city.country,
  city.admin_code,
  city.feature_code,
  city.population,
  city.latitude,
  city.longitude,
  city.updated_at
FROM city
WHERE city.deleted_at IS NULL;
