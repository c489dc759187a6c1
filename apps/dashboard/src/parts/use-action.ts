/** Something that a person asks for and waits for: not twice at once, and what went wrong stays to be read. */
import { useRef, useState } from 'preact/hooks';

export interface Action {
  readonly busy: boolean;
  readonly error: unknown;
  /** Resolves to whether it was done. Never throws. */
  run(): Promise<boolean>;
  clear(): void;
}

export function useAction(act: () => Promise<unknown>): Action {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: undefined });
  const busy = useRef(false);
  return {
    ...state,
    clear: () => setState({ busy: false, error: undefined }),
    run: async () => {
      if (busy.current) return false;
      busy.current = true;
      setState({ busy: true, error: undefined });
      try {
        await act();
        setState({ busy: false, error: undefined });
        return true;
      } catch (error) {
        setState({ busy: false, error });
        return false;
      } finally {
        busy.current = false;
      }
    },
  };
}
