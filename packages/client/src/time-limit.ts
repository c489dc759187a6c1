/**
 * No request waits for ever: a server that accepts a connection and says nothing must not hang whoever asked. Event
 * streams have a limit of their own (see watch.ts).
 */
const DEFAULT_MS = 40_000;
/** Those that wait for a far end take as long as the server lets them, and a little more. */
const SLOW: readonly (readonly [pattern: RegExp, limitMs: number])[] = [
  [/\/v1\/link-tests$/, 200_000],
  [/\/v1\/balancing-policies\/[^/]+\/(run|moves\/[^/]+\/approve)$/, 60_000],
  [/\/v1\/migration-checks$/, 120_000],
];

/** Those that never have a body (https://fetch.spec.whatwg.org/#null-body-status). Browsers may show an empty one, and refuse to make it again. */
const NULL_BODY_STATUS: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

export const limitFor = (url: string): number => SLOW.find(([pattern]) => pattern.test(url))?.[1] ?? DEFAULT_MS;

/** The reason of a signal that aborted because time was up. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';
  readonly code = 'UND_ERR_HEADERS_TIMEOUT'; // told like one that the network layer noticed
}

/** `timeoutMs` replaces every limit; null: none. */
export function withTimeLimit(
  fetch: typeof globalThis.fetch,
  timeoutMs: number | null | undefined,
): typeof globalThis.fetch {
  if (timeoutMs === null) return fetch;
  return async (input, init) => {
    const request = new Request(input, init);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new TimeLimitError()), timeoutMs ?? limitFor(request.url));
    try {
      const response = await fetch(request, { signal: AbortSignal.any([request.signal, late.signal]) });
      if (response.type === 'opaqueredirect') return response; // a browser shows nothing of it
      const body = await response.arrayBuffer();
      return new Response(NULL_BODY_STATUS.has(response.status) ? null : body, response);
    } finally {
      clearTimeout(timer);
    }
  };
}
