import { useEffect, useState } from 'preact/hooks';

const listeners = new Set<() => void>();

function here(): string {
  return `${location.pathname}${location.search}`;
}

/** Shows another page, or the same with other conditions. */
export function go(path: string): void {
  const isOther = new URL(path, location.href).pathname !== location.pathname;
  if (path !== here()) history.pushState(null, '', path);
  if (isOther) scrollTo(0, 0);
  for (const listener of listeners) listener();
}

addEventListener('popstate', () => {
  for (const listener of listeners) listener();
});

function useHere<T>(read: () => T): T {
  const [value, setValue] = useState(read);
  useEffect(() => {
    const listener = (): void => setValue(read);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return value;
}

/** The path of the page that is shown. */
export function usePath(): string {
  return useHere(() => location.pathname);
}

/** Conditions of the page that is shown: they are in its address, so that it can be sent to somebody. */
export function useConditions(): readonly [Readonly<Record<string, string>>, (change: Conditions) => void] {
  const search = useHere(() => location.search);
  const now = Object.fromEntries(new URLSearchParams(search));
  const set = (change: Conditions): void => go(pathWith(location.pathname, { ...now, ...change }));
  return [now, set];
}

type Conditions = Readonly<Record<string, string | undefined>>;

/** A path with conditions; those that are empty are left out. */
export function pathWith(path: string, conditions: Conditions): string {
  const given = Object.entries(conditions).flatMap(([name, value]) =>
    value ? [[name, value] as [string, string]] : [],
  );
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`;
}
