import type { VNode } from 'preact';
import type { Sample } from '../contract.js';
import { rate } from './words.js';

interface ChartProps {
  readonly title: string;
  readonly unit: string;
  readonly samples: readonly Sample[];
  readonly of: (sample: Sample) => number;
  readonly tone: 'busy' | 'trouble';
}

const WIDTH = 600;
const HEIGHT = 90;
const HOUR_MS = 3_600_000;
const LEAST_SPAN_MS = 120_000;
/** Between two samples that are further apart nobody looked. */
const GAP_MS = 30_000;

/** A line over the last hour. Its words say the same: what is now, what was the most. */
export function Chart({ title, unit, samples, of, tone }: ChartProps): VNode {
  const end = samples.at(-1)?.at ?? Date.now();
  const begin = Math.max(end - HOUR_MS, Math.min(samples[0]?.at ?? end, end - LEAST_SPAN_MS));
  const shown = samples.filter(({ at }) => at >= begin);
  const most = Math.max(0, ...shown.map(of));
  const top = most === 0 ? 1 : most * 1.1;
  const x = (at: number): number => ((at - begin) / (end - begin)) * WIDTH;
  const y = (value: number): number => HEIGHT - 2 - (value / top) * (HEIGHT - 6);
  const line = shown
    .map((sample, index) => {
      const isNew = index === 0 || sample.at - (shown[index - 1]?.at ?? 0) > GAP_MS;
      return `${isNew ? 'M' : 'L'}${x(sample.at).toFixed(1)} ${y(of(sample)).toFixed(1)}`;
    })
    .join('');
  const last = shown.at(-1);
  const now = last === undefined ? '–' : rate(of(last));
  return (
    <figure class={`chart ${tone}`}>
      <figcaption>
        <span>{title}</span>
        <strong>
          {now} <small>{unit}</small>
        </strong>
      </figcaption>
      <svg viewBox={`0 0 ${String(WIDTH)} ${String(HEIGHT)}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="ground" d={`M0 ${String(HEIGHT - 1)}H${String(WIDTH)}`} />
        <path class="line" d={line} />
      </svg>
      <p class="note">
        {shown.length === 0
          ? 'The first numbers come in a few seconds.'
          : `At most ${rate(most)} ${unit} since ${clock(begin)}.`}
      </p>
    </figure>
  );
}

function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
