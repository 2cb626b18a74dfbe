/** How long ago an ISO 8601 instant was, in one unit. */
export function ago(instant: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1_000));
  if (seconds < 120) return `${String(seconds)} s`;
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min`;
  if (seconds < 172_800) return `${String(Math.round(seconds / 3_600))} h`;
  return `${String(Math.round(seconds / 86_400))} d`;
}

export function megabytes(bytes: number): string {
  return `${String(Math.round(bytes / 1_048_576))} MB`;
}
