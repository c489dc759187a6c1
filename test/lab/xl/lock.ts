/**
 * The lock of one file for everything that makes a guest at a host, as acquire_lock of tools/xl/xl_vmcontrol.c takes it: a POSIX record lock,
 * waited for, that goes with its process. Node has none, so a child holds it, which ends when its input does: with us at the latest.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';

const HOLD = `
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
`;

/** Whether somebody waits for it (proc_locks(5)). */
export function isAwaited(path: string): boolean {
  const { ino } = statSync(path);
  const lines = readFileSync('/proc/locks', 'utf8').split('\n');
  return lines.some((line) => line.includes('-> POSIX') && line.includes(`:${ino} `));
}

export interface HeldLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** Resolves when the lock is ours. */
export async function holdLock(path: string): Promise<HeldLock> {
  const child = spawn('python3', ['-I', '-S', '-c', HOLD, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'close');
  await Promise.race([once(child.stdout, 'data'), gone.then(() => Promise.reject(new Error('no lock')))]);
  const release = async (): Promise<void> => {
    child.stdin.end();
    await gone;
  };
  return { release, [Symbol.asyncDispose]: release };
}
