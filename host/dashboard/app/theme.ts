import { useEffect, useState } from 'preact/hooks';

const KEY = 'beds-theme';
const changed = new EventTarget();

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

function apply(theme: string): void {
  if (theme === '') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

apply(stored());

/** Empty: as the system has it. */
export function setTheme(theme: string): void {
  apply(theme);
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // A browser that keeps nothing: it holds for this visit.
  }
  changed.dispatchEvent(new Event('change'));
}

export function useTheme(): string {
  const [theme, set] = useState(stored());
  useEffect(() => {
    const listener = (): void => set(document.documentElement.dataset['theme'] ?? '');
    changed.addEventListener('change', listener);
    return () => changed.removeEventListener('change', listener);
  }, []);
  return theme;
}
