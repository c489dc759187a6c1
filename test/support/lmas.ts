/** Runs the command line as a person would, in a process of its own, with no settings but those given. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BINARY = fileURLToPath(new URL('../../apps/cli/bin/lmas.mjs', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Never rejects: how it ended is the answer. */
export function lmas(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const settings = { PATH: process.env.PATH ?? '', TZ: 'UTC', ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [BINARY, ...args], { env: settings, maxBuffer: 64 << 20 }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}
