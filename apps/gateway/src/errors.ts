/**
 * Every fault the gateway knows, in one table: what it means, whether trying again can help, and (for those that the
 * control API answers) the HTTP status. Others compare `code`, never the text. A refusal is an error that a peer, a
 * stranger or a hypervisor caused; it is counted by its code in `status.session.refusals`.
 */
interface Entry {
  readonly message: string;
  readonly retryable: boolean;
  readonly httpStatus?: number;
}

const table = {
  // The file of the static mode.
  CONFIG_INVALID: { message: 'The configuration cannot be used.', retryable: false },

  // The control API.
  INVALID_REQUEST: { message: 'The request does not match the schema.', retryable: false, httpStatus: 400 },
  TOKEN_REQUIRED: {
    message: 'A changing call needs the header lmas-fencing-token.',
    retryable: false,
    httpStatus: 400,
  },
  STALE_TOKEN: { message: 'A newer fencing token has been seen.', retryable: false, httpStatus: 409 },
  NOT_FOUND: { message: 'There is nothing at this path.', retryable: false, httpStatus: 404 },
  NO_SESSION: { message: 'The session has not been configured yet.', retryable: false, httpStatus: 409 },
  SESSION_CONFLICT: {
    message: 'Another session is configured; a gateway serves one.',
    retryable: false,
    httpStatus: 409,
  },
  SESSION_NOT_ESTABLISHED: { message: 'The session is not established.', retryable: true, httpStatus: 409 },
  ROUTE_CONFLICT: { message: 'A route of this name has another configuration.', retryable: false, httpStatus: 409 },
  ADDRESS_FORBIDDEN: {
    message: 'Loopback, link-local, multicast and metadata addresses are not dialled.',
    retryable: false,
    httpStatus: 422,
  },
  LISTEN_FAILED: { message: 'The address could not be bound.', retryable: true, httpStatus: 409 },
  INTERCEPTION_FAILED: {
    message: 'Connections cannot be intercepted here; `lmas-gateway doctor` says what is missing.',
    retryable: false,
    httpStatus: 409,
  },
  PAIR_IN_USE: {
    message: 'Connections between these hosts are intercepted for somebody else already; two cannot be told apart.',
    retryable: true,
    httpStatus: 409,
  },
  CERTIFICATE_INVALID: { message: 'The certificate cannot be used.', retryable: false, httpStatus: 422 },
  SHUTTING_DOWN: { message: 'The gateway is ending.', retryable: false, httpStatus: 503 },
  PROBE_RUNNING: { message: 'Another probe is running.', retryable: true, httpStatus: 409 },
  INTERNAL: { message: 'The gateway failed; its log says more.', retryable: false, httpStatus: 500 },

  // Before a peer is authenticated.
  PREAMBLE_INVALID: { message: 'A stranger on the data port: the first bytes are not ours.', retryable: false },
  VERSION_UNSUPPORTED: { message: 'The peer speaks another version of the protocol.', retryable: false },
  HANDSHAKE_TIMEOUT: { message: 'The peer did not finish its handshake in time.', retryable: true },
  HANDSHAKE_TRUNCATED: { message: 'The connection ended inside the handshake.', retryable: true },
  TOO_MANY_STRANGERS: { message: 'Too many connections wait to be authenticated.', retryable: true },
  TLS_FAILED: { message: 'The TLS handshake failed.', retryable: true },
  TLS_VERSION: { message: 'The control channel is not TLS 1.3.', retryable: false },
  TLS_RESUMED: { message: 'The peer wants to resume a TLS session; only full handshakes count.', retryable: false },
  PEER_WITHOUT_CERTIFICATE: { message: 'The peer showed no certificate.', retryable: false },
  PEER_CERTIFICATE_OWN: { message: 'The peer showed our own certificate.', retryable: false },
  PEER_CERTIFICATE_MISMATCH: { message: 'The peer showed another certificate than the pinned one.', retryable: false },
  PEER_CERTIFICATE_EXPIRED: { message: 'The certificate of the peer is not valid now.', retryable: false },
  HELLO_INVALID: { message: 'The peer broke the order or the form of the control handshake.', retryable: false },
  SESSION_MISMATCH: { message: 'The peer is configured for another session.', retryable: false },
  SUITE_MISMATCH: { message: 'The peer is configured for another cipher suite.', retryable: false },
  SESSION_UNKNOWN: {
    message: 'One of the two gateways was started again and does not know this session.',
    retryable: false,
  },
  PROOF_INVALID: { message: 'The peer does not know the secret of this session.', retryable: false },
  JOIN_INVALID: { message: 'A subflow join that does not authenticate.', retryable: false },
  JOIN_REPLAYED: { message: 'A subflow join that was seen before, or is older than one that was.', retryable: false },
  JOIN_EPOCH: { message: 'A subflow join under a secret that we do not hold.', retryable: true },
  JOIN_REFUSED: { message: 'The peer refused the subflow.', retryable: true },

  // Frames.
  FRAME_CORRUPTED: { message: 'A frame does not authenticate.', retryable: false },
  FRAME_TRUNCATED: { message: 'The subflow ended inside a frame.', retryable: true },
  FRAME_INVALID: { message: 'An authentic frame breaks the protocol.', retryable: false },
  FRAME_REPLAYED: { message: 'A frame came with a counter that is not the next one.', retryable: false },
  FLOW_CONTROL_VIOLATED: { message: 'The peer sent more than it had credit for.', retryable: false },

  // Connections, streams and the session's life.
  CONNECT_FAILED: { message: 'The peer gateway could not be reached.', retryable: true },
  SUBFLOW_LOST: { message: 'A subflow ended.', retryable: true },
  SUBFLOW_STALLED: { message: 'A subflow made no progress.', retryable: true },
  CONTROL_LOST: { message: 'The control channel ended.', retryable: true },
  SESSION_LOST: { message: 'The peer gateway was away for longer than the grace time.', retryable: false },
  SESSION_CLOSED: { message: 'The session was closed.', retryable: false },
  PEER_CLOSED: { message: 'The peer gateway closed the session.', retryable: false },
  ROUTE_UNKNOWN: { message: 'The peer named a route that is not configured here.', retryable: false },
  ENDPOINTS_REFUSED: {
    message: 'The peer opened a stream as if the route were of the other kind (redirected, transparent).',
    retryable: false,
  },
  ADDRESS_OUTSIDE_ROUTE: {
    message: 'The peer named addresses that the route does not have here; nothing was dialled.',
    retryable: false,
  },
  ADDRESS_NOT_ALLOWED: { message: 'This address may not connect to this route.', retryable: false },
  TOO_MANY_STREAMS: { message: 'The route, or the session, carries as many streams as it may.', retryable: true },
  DIAL_FAILED: { message: 'The hypervisor could not be reached.', retryable: true },
  RESET_BY_HYPERVISOR: { message: 'The hypervisor reset the connection.', retryable: false },
  ROUTE_REMOVED: { message: 'The route was removed.', retryable: false },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof table;
export const errorTable: Readonly<Record<ErrorCode, Entry>> = table;

/** An error of this package; `detail` adds what the table cannot know and never holds a secret. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly httpStatus: number;
  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    const entry = errorTable[code];
    super(detail === undefined ? entry.message : `${entry.message} ${detail}`, options);
    this.name = 'GatewayError';
    this.code = code;
    this.retryable = entry.retryable;
    this.httpStatus = entry.httpStatus ?? 500;
  }
}

/** The error itself if it is ours, else ours with the native one as its cause. */
export function asGatewayError(error: unknown, fallback: ErrorCode): GatewayError {
  if (error instanceof GatewayError) return error;
  const native = error instanceof Error ? (errnoOf(error) ?? error.message) : String(error);
  return new GatewayError(fallback, `(${native})`, { cause: error });
}

/** `ECONNRESET` and the like, where the native error has one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Text of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
