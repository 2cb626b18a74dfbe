-- The rules of the business, for every procedure that changes a city. The leading _ says: for the DBA's own procedures only.
DROP PROCEDURE IF EXISTS _city_check;

CREATE PROCEDURE _city_check(IN population BIGINT, IN latitude DOUBLE, IN longitude DOUBLE)
  SQL SECURITY DEFINER
  DETERMINISTIC
BEGIN
  IF population < 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A city cannot have a negative population.';
  END IF;
  IF latitude < -90 OR latitude > 90 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A latitude lies between -90 and 90 degrees.';
  END IF;
  IF longitude < -180 OR longitude > 180 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A longitude lies between -180 and 180 degrees.';
  END IF;
END;
