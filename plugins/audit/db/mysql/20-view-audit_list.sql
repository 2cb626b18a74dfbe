CREATE OR REPLACE SQL SECURITY DEFINER VIEW audit_list AS
SELECT
  audit_record.`key`,
  audit_record.installation,
  audit_record.seq,
  audit_record.id,
  audit_record.order_id,
  audit_record.step,
  audit_record.at,
  audit_record.node,
  audit_record.user_id,
  audit_record.user_name,
  audit_record.source,
  audit_record.op,
  audit_record.target,
  audit_record.outcome,
  audit_record.words,
  audit_record.previous,
  audit_record.hash
FROM audit_record;
