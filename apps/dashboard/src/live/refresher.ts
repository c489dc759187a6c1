/**
 * When a page looks again: when its time is up, a moment after news, at once when its reader did something, and until
 * somebody answers. One look at a time, and never a starving one: news that keeps coming puts no look off, and breaks none off.
 */

export interface Refresher {
  /** Now; an answer that is under way is from before, and no longer wanted. */
  lookNow(): void;
  /** Something happened that may concern the page. */
  news(): void;
  stop(): void;
}

interface RefresherOptions {
  /** Look again so long after the last answer; undefined: only when asked to. */
  readonly everyMs?: number | undefined;
  /** Nobody looks: nothing is asked for. Whoever comes back says `lookNow`. */
  readonly isAway: () => boolean;
}

/** Several changes in a row are answered by one more look. */
export const SETTLE_MS = 300;

/**
 * @param look resolves when its answer is there, to how soon it is to be asked again although nobody wants news: it never
 * came (`againInMs`), and undefined where it did; its signal aborts when it is no longer wanted
 */
export function createRefresher(
  look: (options: { signal: AbortSignal }) => Promise<number | undefined>,
  { everyMs, isAway }: RefresherOptions,
): Refresher {
  let underWay: AbortController | undefined;
  let hasNews = false;
  let next: { readonly timer: ReturnType<typeof setTimeout>; readonly atMs: number } | undefined;

  const cancelNext = () => {
    clearTimeout(next?.timer);
    next = undefined;
  };
  /** The earlier one counts. */
  const within = (ms: number) => {
    const atMs = Date.now() + ms;
    if (next !== undefined && next.atMs <= atMs) return;
    cancelNext();
    next = { timer: setTimeout(lookNow, ms), atMs };
  };
  const lookNow = () => {
    cancelNext();
    underWay?.abort();
    underWay = undefined;
    if (isAway()) return;
    const mine = new AbortController();
    underWay = mine;
    hasNews = false;
    void look({ signal: mine.signal }).then((againInMs) => {
      if (underWay !== mine) return;
      underWay = undefined;
      if (hasNews) within(SETTLE_MS);
      if (everyMs !== undefined) within(everyMs);
      if (againInMs !== undefined) within(againInMs);
    });
  };
  return {
    lookNow,
    news() {
      hasNews = true;
      if (underWay === undefined) within(SETTLE_MS);
    },
    stop() {
      cancelNext();
      underWay?.abort();
      underWay = undefined;
    },
  };
}
