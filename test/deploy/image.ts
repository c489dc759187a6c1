/**
 * What an engine makes of a Dockerfile, as far as that can be done without one: its RUN steps are run in Debian's own minimal root, with
 * the network of this machine, and what its ENTRYPOINT names is started as Compose starts it: as its user, without capabilities, on a file
 * system that is read-only but for volumes, in a network of its own. The registry's base image, layers and caching are not tried.
 */
import { execFile } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const IN_THE_IMAGE = ['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];

export interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** The instructions of each stage, FROM first; continued lines are joined. */
export function stagesOf(dockerfile: string): Instruction[][] {
  const lines = dockerfile
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const stages: Instruction[][] = [];
  for (const line of lines.filter((each) => each.trim() !== '')) {
    const [, name = '', value = ''] = /^(\w+)\s+(.+)$/.exec(line) ?? [];
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, value });
  }
  return stages;
}

/** Processes are the step's own, and end with it. */
const STEP = `set -e
root=$1
shift
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
`;

/** @param bound a file that the step sees at a path, and the image has not; as with RUN --mount=type=bind */
export async function runStep(root: string, command: string, bound: { file: string; at: string }): Promise<void> {
  const at = path.join(root, bound.at);
  cpSync(bound.file, at);
  try {
    const apart = ['--mount', '--pid', '--fork', '--kill-child'];
    const inside = [...IN_THE_IMAGE, '/bin/sh', '-c', command];
    await run('unshare', [...apart, '/bin/sh', '-c', STEP, 'sh', root, ...inside], { maxBuffer: 16 << 20 });
  } finally {
    rmSync(at);
  }
}

/** Capabilities go with the change of the user; nothing brings them back. */
const SERVICE = `set -e
root=$1 user=$2 volume=$3
shift 3
mount --bind "$root" "$root"
mount --bind "$root$volume" "$root$volume"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
ip link set lo up
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
`;

export interface Service {
  readonly user: string;
  readonly volume: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** Asked until it ends with 0. */
  readonly probe: readonly string[];
}

const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');

/**
 * Starts it, waits until its probe is content, and ends it with SIGTERM.
 * @throws with what it printed, when it is never healthy, or does not end with 0
 */
export async function tryService(root: string, { user, volume, env, command, probe }: Service): Promise<void> {
  const script = `
    touch /written 2>/dev/null && { echo 'the file system can be written to' >&2; exit 1; }
    ${quoted(command)} &
    for try in $(seq 300); do
      if ${quoted(probe)}; then kill "$!"; wait "$!"; exit; fi
      kill -0 "$!" || exit
      sleep 0.2
    done
    echo 'never healthy' >&2
    exit 1`;
  const apart = ['--mount', '--pid', '--net', '--fork', '--kill-child'];
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const inside = [...IN_THE_IMAGE, ...settings, '/bin/sh', '-c', script];
  await run('unshare', [...apart, '/bin/sh', '-c', SERVICE, 'sh', root, user, volume, ...inside], {
    maxBuffer: 16 << 20,
  });
}
