DROP PROCEDURE IF EXISTS user_insert;

CREATE PROCEDURE user_insert(
  IN id CHAR(36),
  IN name VARCHAR(100),
  IN name_key VARCHAR(200),
  IN roles JSON,
  IN password VARCHAR(255),
  IN created_at BIGINT,
  IN event LONGTEXT
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Adds a user. A name is given once.'
BEGIN
  INSERT INTO user_account (id, name, name_key, roles, password, created_at, password_at, outbox, outbox_at)
  VALUES (id, name, name_key, roles, password, created_at, created_at, CONCAT(event, '\n'), created_at);
END;
