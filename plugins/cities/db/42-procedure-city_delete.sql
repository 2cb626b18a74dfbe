DROP PROCEDURE IF EXISTS city_delete;

CREATE PROCEDURE city_delete(IN id INT UNSIGNED)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Hides a city from every view. Affects no row where there is none, or it is hidden already.'
BEGIN
  UPDATE city SET city.deleted_at = CURRENT_TIMESTAMP(3) WHERE city.id = id AND city.deleted_at IS NULL;
END;
