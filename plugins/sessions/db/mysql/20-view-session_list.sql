CREATE OR REPLACE SQL SECURITY DEFINER VIEW session_list AS
SELECT
  user_session.id,
  user_session.user_id,
  user_session.place,
  user_session.created_at,
  user_session.refreshed_at,
  user_session.idle_until,
  user_session.expires_at
FROM user_session
WHERE user_session.ended_at IS NULL;
