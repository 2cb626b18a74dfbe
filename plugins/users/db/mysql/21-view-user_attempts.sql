CREATE OR REPLACE SQL SECURITY DEFINER VIEW user_attempts AS
SELECT user_attempt.id, user_attempt.failures, user_attempt.failed_at FROM user_attempt;
