/** A value for each point; undefined: nothing is known of it. */
export type Values = readonly (number | undefined)[];

const BARS = '▁▂▃▄▅▆▇█';

/** One line, as high as the highest value. */
export function sparkline(values: Values, width: number): string {
  const points = resample(values, width);
  const top = topOf(points);
  return points
    .map((value) => {
      if (value === undefined) return ' ';
      return BARS[top === 0 ? 0 : Math.min(BARS.length - 1, Math.floor((value / top) * BARS.length))] ?? ' ';
    })
    .join('');
}

/** Dots of a braille character, by row from the top, left and right. https://www.unicode.org/charts/PDF/U2800.pdf */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;
const BLANK = 0x28_00;

/** A curve over its own scale, filled below it: four dots for each line, two for each column. */
export function brailleGraph(
  values: Values,
  { width, height }: { readonly width: number; readonly height: number },
): readonly string[] {
  const points = resample(values, width * 2);
  const top = topOf(points);
  const dots = height * 4;
  const cells = Array.from({ length: height }, () => new Array<number>(width).fill(BLANK));
  for (const [x, value] of points.entries()) {
    if (value === undefined) continue;
    const filled = top === 0 ? 1 : Math.max(1, Math.round((value / top) * dots));
    for (let y = 0; y < filled; y += 1) {
      const line = cells[height - 1 - Math.floor(y / 4)];
      const column = Math.floor(x / 2);
      const dot = DOTS[3 - (y % 4)]?.[x % 2] ?? 0;
      if (line !== undefined) line[column] = (line[column] ?? BLANK) | dot;
    }
  }
  return cells.map((line) => String.fromCodePoint(...line));
}

export function topOf(values: Values): number {
  return values.reduce<number>((top, value) => Math.max(top, value ?? 0), 0);
}

/** The highest of those that fall together, so that no peak is lost. */
function resample(values: Values, width: number): Values {
  if (values.length <= width) return values;
  return Array.from({ length: width }, (_, index) => {
    const part = values.slice(
      Math.floor((index * values.length) / width),
      Math.floor(((index + 1) * values.length) / width),
    );
    const known = part.filter((value) => value !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  });
}
