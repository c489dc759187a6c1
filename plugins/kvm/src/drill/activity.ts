/**
 * Whether qemu-img works on, where it has nothing to say for long: it tells each hundredth of a disk, and one of a large disk, read from a
 * slow one or sent over a thin link, takes longer than anybody waits for a sign of life. It sleeps until something comes or
 * may go, so its time on a processor grows with what moves, to the nanosecond, and stands still when that does (tried with 7.2: the
 * receiver held for 24 s). Not tied to bytes: what is read and found to be zero goes nowhere.
 */
import { pause } from '../migration/progress.ts';
import type { HostTransport } from '../transport.ts';

const LOOK_MS = 3_000;

/** $1 the directory of the key: it is in the command line. Field 1: nanoseconds on a processor (the kernel's sched-stats.rst). */
const TIME_SPENT = `
for file in $(grep -lzF -e "dir=$1," /proc/[0-9]*/cmdline 2>/dev/null); do
  pid=\${file#/proc/}; pid=\${pid%/cmdline}
  [ "$(cat "/proc/$pid/comm")" = qemu-img ] && read -r spent rest < "/proc/$pid/schedstat" && echo "$pid $spent"
done 2>/dev/null
:`;

/** Calls `onWork` after each look that finds it further than the one before, until `signal` aborts. Never rejects: it decides nothing. */
export async function watchWork(
  host: HostTransport,
  keyDirectory: string,
  onWork: () => void,
  { signal, lookMs = LOOK_MS }: { readonly signal: AbortSignal; readonly lookMs?: number },
): Promise<void> {
  let before = '';
  while (!signal.aborted) {
    await pause(lookMs, signal);
    const seen = await timeSpent(host, keyDirectory, signal);
    if (seen === '') continue;
    if (seen !== before && before !== '' && !signal.aborted) onWork();
    before = seen;
  }
}

async function timeSpent(host: HostTransport, keyDirectory: string, signal: AbortSignal): Promise<string> {
  try {
    const { stdout } = await host.exec(['sh', '-c', TIME_SPENT, 'sh', keyDirectory], { signal });
    return stdout.toString('utf8').trim();
  } catch {
    return ''; // a look that failed shows nothing; whether the host is there shows in what copies
  }
}
