DROP PROCEDURE IF EXISTS audit_append;

CREATE PROCEDURE audit_append(
  IN `key` VARCHAR(130) CHARACTER SET ascii COLLATE ascii_bin,
  IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin,
  IN seq BIGINT,
  IN id VARCHAR(36),
  IN order_id VARCHAR(36),
  IN step VARCHAR(10),
  IN at BIGINT,
  IN node VARCHAR(200),
  IN user_id VARCHAR(255),
  IN user_name VARCHAR(255),
  IN source VARCHAR(500),
  IN op VARCHAR(40),
  IN target VARCHAR(2000),
  IN outcome VARCHAR(100),
  IN words VARCHAR(4000),
  IN previous VARCHAR(64),
  IN hash VARCHAR(64)
)
  SQL SECURITY DEFINER
  MODIFIES SQL DATA
  COMMENT 'Adds a record behind the last one, unless another one came there since that was seen.'
BEGIN
  DECLARE last_seq BIGINT;
  DECLARE last_hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  INSERT IGNORE INTO audit_head (installation, seq, hash) VALUES (installation, 0, '');
  START TRANSACTION;
  SELECT h.seq, h.hash INTO last_seq, last_hash FROM audit_head AS h WHERE h.installation = installation FOR UPDATE;
  IF seq = last_seq + 1 AND previous = last_hash THEN
    INSERT INTO audit_record
      (`key`, installation, seq, id, order_id, step, at, node, user_id, user_name, source, op, target, outcome, words,
      previous, hash)
    VALUES
      (`key`, installation, seq, id, order_id, step, at, node, user_id, user_name, source, op, target, outcome, words,
      previous, hash);
    UPDATE audit_head AS h SET h.seq = seq, h.hash = hash WHERE h.installation = installation;
    SET last_seq = seq, last_hash = hash;
  END IF;
  COMMIT;
  -- The record behind which the next one comes.
  SELECT last_seq AS seq, last_hash AS hash;
END;
