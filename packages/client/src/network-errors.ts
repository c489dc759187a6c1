/**
 * Says in a precise sentence why no answer came. `fetch` reports every network fault as "fetch failed" and hides the
 * reason in `cause`, sometimes inside an AggregateError (one error for each address tried); this file digs it out.
 */
import { type ConnectionErrorCode, LmasConnectionError } from './errors.ts';

type Explain = (where: Where) => string;
interface Where {
  /** `host:port` as dialled. */
  authority: string;
  hostname: string;
  baseUrl: string;
}

const CAUSES: Readonly<Record<string, readonly [ConnectionErrorCode, Explain]>> = {
  ECONNREFUSED: ['UNREACHABLE', ({ authority }) => `Nothing listens at ${authority} (connection refused).`],
  ENOTFOUND: ['UNREACHABLE', ({ hostname }) => `There is no host named ${hostname}.`],
  EAI_AGAIN: [
    'UNREACHABLE',
    ({ hostname }) => `The name ${hostname} cannot be looked up now: no name server answered.`,
  ],
  EHOSTUNREACH: ['UNREACHABLE', ({ authority }) => `There is no route to ${authority}.`],
  ENETUNREACH: ['UNREACHABLE', ({ authority }) => `There is no route to ${authority}: no network leads there.`],
  ETIMEDOUT: ['UNREACHABLE', ({ authority }) => `${authority} did not accept a connection in time.`],
  UND_ERR_CONNECT_TIMEOUT: ['UNREACHABLE', ({ authority }) => `${authority} did not accept a connection in time.`],
  EACCES: ['UNREACHABLE', ({ authority }) => `A local rule forbids connections to ${authority}.`],
  ECONNRESET: ['CONNECTION_LOST', ({ authority }) => `${authority} closed the connection before it had answered.`],
  EPIPE: ['CONNECTION_LOST', ({ authority }) => `${authority} closed the connection before it had answered.`],
  UND_ERR_SOCKET: ['CONNECTION_LOST', ({ authority }) => `${authority} closed the connection before it had answered.`],
  UND_ERR_HEADERS_TIMEOUT: ['CONNECTION_LOST', ({ authority }) => `${authority} did not answer in time.`],
  UND_ERR_BODY_TIMEOUT: ['CONNECTION_LOST', ({ authority }) => `${authority} stopped in the middle of its answer.`],
  HTTPParserError: ['NOT_LMAS', ({ authority }) => `What listens at ${authority} does not speak HTTP.`],
  ERR_SSL_WRONG_VERSION_NUMBER: [
    'NOT_LMAS',
    ({ authority }) => `${authority} does not speak TLS: try http:// instead of https://.`,
  ],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: [
    'NOT_LMAS',
    ({ authority }) => `${authority} does not speak TLS: try http:// instead of https://.`,
  ],
  CERT_HAS_EXPIRED: ['UNTRUSTED', ({ authority }) => `The certificate of ${authority} has expired.`],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'UNTRUSTED',
    ({ authority, hostname }) => `The certificate of ${authority} is not for the name ${hostname}.`,
  ],
};
for (const untrusted of [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]) {
  Object.assign(CAUSES, {
    [untrusted]: [
      'UNTRUSTED',
      ({ authority }: Where) =>
        `The certificate of ${authority} is signed by nobody this machine trusts: name its issuer in NODE_EXTRA_CA_CERTS.`,
    ],
  });
}

/** What browsers say of every network fault, whatever it was. */
const SAYS_NOTHING = /^(Failed to fetch|NetworkError when attempting to fetch resource\.|Load failed|fetch failed)$/;

/**
 * Turns what `fetch` (or reading its body) threw into a `LmasConnectionError`; an abort by `signal` comes back as it is.
 * `sent`: the answer had begun, so an unknown fault means a lost connection.
 */
export function explainNetworkError(
  error: unknown,
  baseUrl: string,
  { signal, sent = false }: { signal?: AbortSignal | undefined; sent?: boolean } = {},
): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof SyntaxError) {
    return new LmasConnectionError('NOT_LMAS', `What answers at ${baseUrl} is not LMAS: its answer is not JSON.`, {
      cause: error,
    });
  }
  const { hostname, port, protocol } = new URL(baseUrl);
  const where: Where = { baseUrl, hostname, authority: `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}` };
  const { code, message } = rootCause(error);
  const known = code === undefined ? undefined : CAUSES[code];
  if (known !== undefined) return new LmasConnectionError(known[0], known[1](where), { cause: error });
  const reason = message || String(error);
  if (SAYS_NOTHING.test(reason)) {
    return new LmasConnectionError('UNREACHABLE', `${where.authority} cannot be reached.`, { cause: error });
  }
  return sent || reason === 'terminated' || reason === 'other side closed'
    ? new LmasConnectionError('CONNECTION_LOST', `The connection to ${where.authority} broke: ${reason}.`, {
        cause: error,
      })
    : new LmasConnectionError('UNREACHABLE', `${where.authority} cannot be reached: ${reason}.`, { cause: error });
}

/** The innermost error that carries a code, else the innermost one. */
function rootCause(error: unknown): { code: string | undefined; message: string } {
  let found = { code: undefined as string | undefined, message: '' };
  for (let current: unknown = error, depth = 0; current instanceof Error && depth < 8; depth += 1) {
    // The parser's fault has codes without number; its name stands for all of them.
    const parser = current.name === 'HTTPParserError' ? current.name : undefined;
    const code = parser ?? ('code' in current && typeof current.code === 'string' ? current.code : undefined);
    if (code !== undefined || found.code === undefined) found = { code, message: current.message };
    current = current.cause ?? (current instanceof AggregateError ? current.errors[0] : undefined);
  }
  return found;
}
