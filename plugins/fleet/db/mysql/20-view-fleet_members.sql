CREATE OR REPLACE SQL SECURITY DEFINER VIEW fleet_members AS
SELECT
  fleet_member.id,
  fleet_member.installation,
  fleet_member.node,
  fleet_member.at,
  fleet_member.report
FROM fleet_member;
