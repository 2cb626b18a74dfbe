-- GeoNames marks the seat of a government with the feature code PPLC.
CREATE OR REPLACE SQL SECURITY DEFINER VIEW capital_list AS
SELECT city.id, city.name, city.country, city.population, city.latitude, city.longitude
FROM city
WHERE city.deleted_at IS NULL AND city.feature_code = 'PPLC';
