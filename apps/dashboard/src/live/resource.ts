/**
 * What a page shows of the orchestrator: loaded when the page opens, again when something happened that concerns it or
 * when its time is up, until it is answered, and never while nobody looks. Old data stays on the page while new data is on its way.
 */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { isRefused, session } from '../session/session.ts';
import { againInMs } from './again.ts';
import { changes } from './feed.ts';
import { createRefresher } from './refresher.ts';

export interface Resource<Data> {
  readonly data: Data | undefined;
  /** Of the last attempt. */
  readonly error: unknown;
  reload(): void;
}

interface ResourceOptions {
  /** Load again so often. */
  readonly everyMs?: number | undefined;
  /** Load again when a notice tells that something happened: to a migration, a schedule, a run. */
  readonly withNotices?: boolean;
}

/** @param load is called with a signal that aborts when its answer is no longer wanted @param key what it depends on */
export function useResource<Data>(
  load: (options: { signal: AbortSignal }) => Promise<Data>,
  key: readonly unknown[],
  { everyMs, withNotices = false }: ResourceOptions = {},
): Resource<Data> {
  const [state, setState] = useState<{ data?: Data | undefined; error?: unknown }>({});
  const latest = useRef(load);
  latest.current = load;
  const restart = useRef(() => {});

  // Of something else; that it is looked at more or less often is no reason to take it away.
  useEffect(() => setState({}), [...key]);
  useEffect(() => {
    const look = ({ signal }: { signal: AbortSignal }) =>
      latest.current({ signal }).then(
        (data) => {
          if (!signal.aborted) setState({ data });
          return undefined;
        },
        (error: unknown) => {
          if (!signal.aborted) setState(({ data }) => ({ data, error }));
          return againInMs(error);
        },
      );
    const refresher = createRefresher(look, { everyMs, isAway: () => document.hidden || isRefused.value });
    document.addEventListener('visibilitychange', refresher.lookNow);
    restart.current = refresher.lookNow;
    refresher.lookNow();
    let seenBy = session.value;
    let isFirst = true; // a signal tells its present value first, which is no news
    const unsubscribe = changes.subscribe(() => {
      if (!isFirst && withNotices) refresher.news();
      isFirst = false;
    });
    const unfollow = session.subscribe((now) => {
      // Whoever has logged in again looks anew.
      if (now && now !== seenBy) refresher.lookNow();
      seenBy = now;
    });
    return () => {
      unsubscribe();
      unfollow();
      document.removeEventListener('visibilitychange', refresher.lookNow);
      refresher.stop();
    };
  }, [...key, everyMs, withNotices]);

  const reload = useCallback(() => restart.current(), []);
  return { data: state.data, error: state.error, reload };
}
