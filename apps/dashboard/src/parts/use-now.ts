/** The time, for clocks that run in place. */
import { useEffect, useState } from 'preact/hooks';
import { nowMs } from '../live/clock.ts';

/** Milliseconds since 1970 by the orchestrator's clock, anew every second while `running`. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(nowMs);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(nowMs()), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
