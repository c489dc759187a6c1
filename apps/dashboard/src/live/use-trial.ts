/** What the orchestrator says of something that is being filled in: asked a moment after it last changed, and until somebody answers; nothing is stored. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { againInMs } from './again.ts';

export interface Trial<Result> {
  readonly busy: boolean;
  /** Of what is filled in now; undefined while it is not known. */
  readonly result: Result | undefined;
  readonly error: unknown;
}

const PAUSE_MS = 600;
const NOTHING = { busy: false, result: undefined, error: undefined };

/** @param key what is filled in, as text; null while there is not enough of it to be asked about */
export function useTrial<Result>(
  key: string | null,
  ask: (options: { signal: AbortSignal }) => Promise<Result>,
): Trial<Result> {
  const [trial, setTrial] = useState<Trial<Result>>(NOTHING);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key === null) {
      setTrial(NOTHING);
      return;
    }
    const ending = new AbortController();
    const { signal } = ending;
    setTrial({ ...NOTHING, busy: true });
    let timer: ReturnType<typeof setTimeout>;
    const askIn = (ms: number) => {
      timer = setTimeout(() => {
        latest.current({ signal }).then(
          (result) => signal.aborted || setTrial({ ...NOTHING, result }),
          (error: unknown) => {
            if (signal.aborted) return;
            setTrial({ ...NOTHING, error });
            const later = againInMs(error);
            if (later !== undefined) askIn(later);
          },
        );
      }, ms);
    };
    askIn(PAUSE_MS);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [key]);
  return trial;
}
