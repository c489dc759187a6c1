/** Whoever sits at a terminal is told what is waited for, once a request has been without an answer for a few seconds. */
const PATIENCE_MS = 4_000;

/** Event streams are left alone: whoever shows them says so itself. */
export function withPatience(
  fetch: typeof globalThis.fetch,
  say: (text: string) => void,
  { afterMs = PATIENCE_MS } = {},
): typeof globalThis.fetch {
  return async (input, init) => {
    const { origin, pathname } = new URL(input instanceof Request ? input.url : input);
    if (pathname.endsWith('/events')) return await fetch(input, init);
    const timer = setTimeout(() => say(`Still waiting for ${origin} …`), afterMs);
    try {
      return await fetch(input, init);
    } finally {
      clearTimeout(timer);
    }
  };
}
