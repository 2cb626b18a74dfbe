const HIDDEN = '***';

/**
 * The URL with its password, and every query value whose name speaks of a secret, replaced by `***`. Anything that is
 * not a URL comes back as it is. Several hosts in one URL, and passwords with unescaped `@` or `/`, are understood.
 */
export function redactUrl(url: string): string {
  const [, scheme = '', account, rest = ''] = /^([a-z][a-z\d+.-]*:\/\/)(?:(.*)@)?(.*)$/is.exec(url) ?? [];
  if (scheme === '') return url;
  return `${scheme}${redactAccount(account)}${redactQuery(rest)}`;
}

function redactAccount(account: string | undefined): string {
  if (account === undefined) return '';
  const colon = account.indexOf(':');
  return colon === -1 ? `${account}@` : `${account.slice(0, colon)}:${HIDDEN}@`;
}

function redactQuery(text: string): string {
  return text.replaceAll(/([?&][^=&]*(?:pass|secret|token|key|mechanismproperties)[^=&]*=)[^&]*/gi, `$1${HIDDEN}`);
}
