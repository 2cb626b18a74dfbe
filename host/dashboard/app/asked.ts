import { useEffect, useState } from 'preact/hooks';
import type { Problem } from '../contract.js';
import { problemOf } from './api.js';

interface Answered<T> {
  readonly answer?: T;
  /** Why it could not be asked the last time. */
  readonly problem?: Problem;
  /** Asks at once. */
  readonly again: () => void;
}

interface Terms {
  /** It is asked anew when this is another one; the former answer stays until the next comes. */
  readonly about: string;
  /** Milliseconds; absent: once. */
  readonly everyMs?: number;
}

/** What the server answers, asked for again and again while somebody looks. */
export function useAsked<T>(ask: () => Promise<T>, { about, everyMs }: Terms): Answered<T> {
  const [state, setState] = useState<{ readonly answer?: T; readonly problem?: Problem }>({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isWanted = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      // n.b. what nobody sees is not asked for again; the first time it is.
      if (!document.hidden || everyMs === undefined) {
        const next = await ask().then(
          (answer) => ({ answer }),
          (error: unknown) => ({ problem: problemOf(error) }),
        );
        if (!isWanted) return;
        setState((before) => ({ ...('problem' in next ? before : {}), ...next }));
      }
      if (everyMs !== undefined) timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [about, everyMs, round]);
  return { ...state, again: () => setRound((count) => count + 1) };
}
