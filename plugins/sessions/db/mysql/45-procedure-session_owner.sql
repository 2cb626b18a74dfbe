DROP PROCEDURE IF EXISTS session_owner;

CREATE PROCEDURE session_owner(
  IN id CHAR(36)
)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'Whose session it is, also of one that has ended.'
BEGIN
  SELECT s.user_id FROM user_session AS s WHERE s.id = id;
END;
