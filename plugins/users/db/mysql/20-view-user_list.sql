CREATE OR REPLACE SQL SECURITY DEFINER VIEW user_list AS
SELECT user_account.id, user_account.name, user_account.roles, user_account.disabled, user_account.created_at, user_account.password_at
FROM user_account
WHERE user_account.deleted_at IS NULL;
