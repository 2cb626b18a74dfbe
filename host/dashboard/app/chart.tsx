import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { MINUTES } from './words.js';

export interface Point {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly value: number;
}

interface ChartProps {
  readonly title: string;
  /** A value with its unit: `12.4 ms`. */
  readonly words: (value: number) => string;
  readonly points: readonly Point[];
  readonly begin: number;
  readonly end: number;
  /** Between two points that are further apart nobody measured. */
  readonly gapMs: number;
  readonly tone: 'busy' | 'trouble';
}

const WIDTH = 600;
const HEIGHT = 100;

/** A line over time. Its words say the same: what is now, what was the most; and, where one points at it, what was then. */
export function Chart({ title, words, points, begin, end, gapMs, tone }: ChartProps): VNode {
  const [pointed, setPointed] = useState<number>();
  const shown = points.filter(({ at }) => at >= begin && at <= end);
  const most = shown.reduce<Point | undefined>(
    (top, point) => (top && top.value >= point.value ? top : point),
    undefined,
  );
  const x = (at: number): number => ((at - begin) / Math.max(1, end - begin)) * WIDTH;
  const y = (value: number): number => HEIGHT - 1 - (value / ((most?.value ?? 0) * 1.08 || 1)) * (HEIGHT - 4);
  const pieces = piecesOf(shown, gapMs).map((piece) =>
    piece.map(({ at, value }) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`),
  );
  const found = pointed === undefined ? undefined : nearest(shown, begin + pointed * (end - begin));
  const last = shown.at(-1);
  const point = (event: PointerEvent): void => {
    const { left, width } = (event.currentTarget as SVGElement).getBoundingClientRect();
    setPointed((event.clientX - left) / Math.max(1, width));
  };
  const said = found ?? last;
  return (
    <figure class={`chart ${tone}`}>
      <figcaption>
        <span>{title}</span>
        <span>
          {found !== undefined && <small>{clock(found.at, end - begin)} </small>}
          <strong>{said === undefined ? '–' : words(said.value)}</strong>
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${String(WIDTH)} ${String(HEIGHT)}`}
        preserveAspectRatio="none"
        aria-hidden="true"
        onPointerMove={point}
        onPointerLeave={() => setPointed(undefined)}
      >
        <path class="ground" d={`M0 ${String(HEIGHT - 0.5)}H${String(WIDTH)}`} />
        <path class="area" d={pieces.map((piece) => areaOf(piece)).join('')} />
        <path
          class="line"
          d={pieces.map((piece) => `M${piece.join('L')}${piece.length === 1 ? 'h-3' : ''}`).join('')}
        />
        {found !== undefined && <path class="pointed" d={`M${x(found.at).toFixed(1)} 0V${String(HEIGHT)}`} />}
      </svg>
      <p class="note axis">
        <span>{clock(begin, end - begin)}</span>
        <span>{most === undefined ? 'no numbers yet' : `most ${words(most.value)}`}</span>
        <span>{clock(end, end - begin)}</span>
      </p>
    </figure>
  );
}

function piecesOf(points: readonly Point[], gapMs: number): readonly (readonly Point[])[] {
  const pieces: Point[][] = [];
  for (const point of points) {
    const piece = pieces.at(-1);
    const before = piece?.at(-1);
    if (piece === undefined || before === undefined || point.at - before.at > gapMs) pieces.push([point]);
    else piece.push(point);
  }
  return pieces;
}

function areaOf(piece: readonly string[]): string {
  const [first = '0 0'] = piece;
  const [from] = first.split(' ');
  const [to] = (piece.at(-1) ?? first).split(' ');
  return `M${from ?? '0'} ${String(HEIGHT)}L${piece.join('L')}L${to ?? '0'} ${String(HEIGHT)}Z`;
}

function nearest(points: readonly Point[], at: number): Point | undefined {
  return points.reduce<Point | undefined>(
    (best, point) => (best !== undefined && Math.abs(best.at - at) <= Math.abs(point.at - at) ? best : point),
    undefined,
  );
}

const DAY_MS = 86_400_000;

/** `14:05`; over a day or more with the date, over more than a month without the time. */
function clock(ms: number, spanMs: number): string {
  const date = new Date(ms);
  if (spanMs < DAY_MS) return date.toLocaleTimeString([], MINUTES);
  const day = { day: 'numeric', month: 'short' } as const;
  if (spanMs <= 40 * DAY_MS) return date.toLocaleString([], { ...day, ...MINUTES });
  return date.toLocaleDateString([], { ...day, year: 'numeric' });
}
