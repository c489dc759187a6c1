/**
 * Linux gives every session (setsid(2)) a share of the processors of its own, and nice values count only among the processes of one (sched(7), the
 * autogroup feature). A benchmark under `nice -n -10` would change nothing for programs in sessions of their own, so the nice value of this process is given
 * to their sessions as well, and to its own.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';

/** For a process that leads a session. Without the feature, or without a nice value, nothing. */
export function keepPriority(pid: number | undefined): void {
  const file = `/proc/${pid}/autogroup`;
  const nice = getPriority();
  if (pid === undefined || nice === 0 || !existsSync(file)) return;
  try {
    writeFileSync(file, String(nice));
  } catch (error) {
    // It has ended already, or only root may ask for more than others.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (!['ESRCH', 'ENOENT', 'EPERM'].includes(String(code))) throw error;
  }
}
