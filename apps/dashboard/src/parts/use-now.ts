/** The time, for clocks that run in place. */
import { useEffect, useState } from 'preact/hooks';

/** Milliseconds since 1970, anew every second while `running`. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
