/** What the operating system and TLS say of a connection that does not come about. https://nodejs.org/api/errors.html#common-system-errors */
const OF_NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the name of the server is not known',
  EAI_AGAIN: 'the name of the server cannot be looked up now',
  ETIMEDOUT: 'no answer comes from there',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
  ECONNRESET: 'the connection was broken off',
  EPIPE: 'the connection was broken off',
  PROTOCOL_CONNECTION_LOST: 'the connection was broken off',
  HANDSHAKE_NO_SSL_SUPPORT: 'the server has no TLS, and the URL asks for it',
  HANDSHAKE_SSL_ERROR: 'TLS did not come about',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate of the server is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate of the server is self-signed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate of the server is signed by nobody that this machine knows',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the certificate of the server is signed by nobody that this machine knows',
  CERT_HAS_EXPIRED: 'the certificate of the server has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate of the server is for another name',
};
const MOST_CAUSES = 5;
const CODE = /^\w{1,60}$/;

/**
 * Why a database cannot be reached, in words for operators, with its code: `nothing listens there (ECONNREFUSED)`. `ofServer` has what the server itself says, by
 * code. Nothing of the error's own text, which may quote the URL.
 */
export function whyUnreachable(error: unknown, ofServer: Readonly<Record<string, string>>): string | undefined {
  let code: string | undefined;
  for (let [each, depth] = [error, 0]; typeof each === 'object' && each !== null && depth < MOST_CAUSES; depth += 1) {
    const { errno, code: named, cause } = each as Readonly<Record<'errno' | 'code' | 'cause', unknown>>;
    for (const own of [named, errno]) {
      const text = String(own);
      const words = ofServer[text] ?? OF_NETWORK[text];
      if (words !== undefined) return `${words} (${text})`;
      if (own !== undefined && CODE.test(text)) code ??= text;
    }
    each = cause;
  }
  return code;
}
