/**
 * What can go wrong between a caller and the orchestrator, in two kinds that need different reactions: the orchestrator
 * answered and refused (`LmasApiError`, its own code), or no usable answer came (`LmasConnectionError`, a code of this
 * table). Compare `code`, never text. An abort by the caller's own signal is neither and passes through unchanged.
 */

/** Codes of this package. `retryable`: the same call may work later, unchanged. */
export const CONNECTION_ERRORS = {
  UNREACHABLE: { retryable: true, meaning: 'No connection could be made: nothing was sent, nothing has happened.' },
  CONNECTION_LOST: {
    retryable: true,
    meaning: 'The connection broke before the answer was complete: whether the request took effect is unknown.',
  },
  UNTRUSTED: { retryable: false, meaning: 'The TLS certificate of the orchestrator was not accepted.' },
  NOT_LMAS: { retryable: false, meaning: 'Something answered, but not an LMAS orchestrator.' },
  INVALID_URL: { retryable: false, meaning: 'The base URL cannot be used.' },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

export type ConnectionErrorCode = keyof typeof CONNECTION_ERRORS;

export class LmasConnectionError extends Error {
  override readonly name = 'LmasConnectionError';
  readonly code: ConnectionErrorCode;
  readonly retryable: boolean;

  constructor(code: ConnectionErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
    this.retryable = CONNECTION_ERRORS[code].retryable;
  }
}

/** One wrong field of a request; `path` as in `tunnel.subflows.min`. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** The orchestrator's own refusal, from its problem+json answer (RFC 9457). */
export class LmasApiError extends Error {
  override readonly name = 'LmasApiError';
  /** As in docs/errors.md; `HTTP_<status>` when the answer had no code of ours (a proxy in between). */
  readonly code: string;
  readonly status: number;
  /** What is wrong. */
  readonly title: string;
  /** More about it, mostly what to do. */
  readonly detail: string | undefined;
  readonly errors: readonly FieldError[];
  /** From Retry-After, when the orchestrator said how long to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(problem: {
    code: string;
    status: number;
    title: string;
    detail?: string | undefined;
    errors?: readonly FieldError[];
    retryAfterMs?: number | undefined;
  }) {
    super(problem.detail === undefined ? problem.title : `${problem.title} ${problem.detail}`);
    this.code = problem.code;
    this.status = problem.status;
    this.title = problem.title;
    this.detail = problem.detail;
    this.errors = problem.errors ?? [];
    this.retryAfterMs = problem.retryAfterMs;
  }
}

/** Makes the error of a response that is not 2xx, whatever its body is. */
export function apiErrorOf(response: Response, body: unknown): LmasApiError | LmasConnectionError {
  const { status } = response;
  if (status >= 300 && status < 400) {
    const location = response.headers.get('location') ?? 'another place';
    return new LmasConnectionError(
      'NOT_LMAS',
      `${response.url} answered with a redirect to ${location}: use that URL.`,
    );
  }
  const problem = isRecord(body) && typeof body.code === 'string' ? body : foreignProblem(response);
  return new LmasApiError({
    code: typeof problem.code === 'string' ? problem.code : `HTTP_${status}`,
    status,
    title: typeof problem.title === 'string' ? problem.title : `The answer was ${status}.`,
    detail: typeof problem.detail === 'string' ? problem.detail : undefined,
    errors: Array.isArray(problem.errors) ? problem.errors.filter(isFieldError) : [],
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')),
  });
}

/** What an answer means that bears no code of ours: somebody in between has given it. */
function foreignProblem({ status, statusText }: Response): Record<string, unknown> {
  const answer = `${status} ${statusText}`.trim();
  if (status >= 500 || status === 429) {
    return {
      title: `A proxy answered in place of the orchestrator: ${answer}.`,
      detail: 'The orchestrator may be starting, or the proxy does not reach it. Try again in a moment.',
    };
  }
  return {
    title: `What answered is no LMAS orchestrator: ${answer}.`,
    detail: 'Look at the address, and at what stands in between.',
  };
}

export interface Sentences {
  readonly what: string;
  readonly more: string | undefined;
}

/** For people: what is wrong, and what else there is to know. Of what is not there its name is told, and that once. */
export function inSentences({
  status,
  title,
  detail,
  errors,
}: Pick<LmasApiError, 'status' | 'title' | 'detail' | 'errors'>): Sentences {
  if (detail === undefined) return { what: title, more: undefined };
  if (status === 404 && detail.startsWith('There is no ')) return { what: detail, more: undefined };
  // What is wrong with each field is told field by field.
  const fields = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
  const more = fields !== '' && detail.startsWith(fields) ? detail.slice(fields.length).trim() : detail;
  return { what: title, more: more === '' ? undefined : more };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFieldError(value: unknown): value is FieldError {
  return isRecord(value) && typeof value.path === 'string' && typeof value.message === 'string';
}

/** RFC 9110, section 10.2.3, its form in seconds (the only one the orchestrator sends). */
function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : undefined;
}

/** Whether it may pass by itself: the network, a restart, an overload, a proxy whose backend is away. */
export function isPassing(error: unknown): error is LmasApiError | LmasConnectionError {
  if (error instanceof LmasConnectionError) return error.retryable;
  return error instanceof LmasApiError && (error.status === 429 || error.status >= 500);
}
