import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';

/** The first and last year of which a server learns when clocks change. */
const [FIRST_YEAR, LAST_YEAR] = [2000, 2037];
const HOUR_MS = 3_600_000;

/** Minutes that a clock in the zone is ahead of UTC at a moment. n.b. one format for all moments: making it takes most of the time. */
function clockIn(zone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  return (moment) =>
    (Date.parse(`${format.format(moment).replace(' ', 'T')}Z`) - Math.floor(moment / 1000) * 1000) / 60_000;
}

/** When clocks in the zone change, and what they are ahead of UTC from then on. */
function changesOf(zone: string): readonly { readonly at: number; readonly minutes: number }[] {
  const offsetMinutes = clockIn(zone);
  const changes: { at: number; minutes: number }[] = [];
  let before = offsetMinutes(Date.UTC(FIRST_YEAR, 0));
  changes.push({ at: Date.UTC(FIRST_YEAR, 0), minutes: before });
  for (let day = Date.UTC(FIRST_YEAR, 0); day < Date.UTC(LAST_YEAR, 0); day += 24 * HOUR_MS) {
    if (offsetMinutes(day + 24 * HOUR_MS) === before) continue;
    let at = day;
    while (offsetMinutes(at) === before) at += HOUR_MS / 4;
    before = offsetMinutes(at);
    changes.push({ at, minutes: before });
  }
  return changes;
}

/** Teaches a server these time zones, as its administrator. */
export async function teachTimeZones(adminUrl: string, zones: readonly string[]): Promise<void> {
  const dba = await createConnection({ uri: adminUrl.replace(/^mariadb:/, 'mysql:') });
  try {
    for (const zone of zones) await teachTimeZone(dba, zone);
  } finally {
    await dba.end();
  }
}

/** Teaches a server a time zone, as mysql_tzinfo_to_sql does, where it does not know it. */
export async function teachTimeZone(dba: Connection, zone: string): Promise<void> {
  const [known] = await dba.query<RowDataPacket[]>(`SELECT CONVERT_TZ('2026-07-01', '+00:00', ?) AS local`, [zone]);
  if (known[0]?.['local'] !== null) return;
  const changes = changesOf(zone);
  const minutes = [...new Set(changes.map((change) => change.minutes))];
  const [made] = await dba.query(`INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N')`);
  const id = (made as { readonly insertId: number }).insertId;
  await dba.query(`INSERT INTO mysql.time_zone_transition_type VALUES ?`, [
    minutes.map((each, type) => [
      id,
      type,
      each * 60,
      each === Math.max(...minutes) && minutes.length > 1 ? 1 : 0,
      `Z${String(type)}`,
    ]),
  ]);
  await dba.query(`INSERT INTO mysql.time_zone_transition VALUES ?`, [
    changes.map((change) => [id, Math.floor(change.at / 1000), minutes.indexOf(change.minutes)]),
  ]);
  await dba.query(`INSERT INTO mysql.time_zone_name VALUES (?, ?)`, [zone, id]);
}
