DROP PROCEDURE IF EXISTS audit_last;

CREATE PROCEDURE audit_last(IN installation VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin)
  SQL SECURITY DEFINER
  READS SQL DATA
  COMMENT 'The place and the hash of the last record, as they were noted when it was added.'
BEGIN
  SELECT h.seq, h.hash FROM audit_head AS h WHERE h.installation = installation;
END;
