/**
 * A Debian of its own, made by debootstrap in memory and booted with its own systemd: a PID 1 in namespaces of its own, in a
 * control group of its own, with a /dev of its own. What is installed and started there is installed and started as on a real
 * machine, hardening included. Nothing of it outlives `Symbol.asyncDispose`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const SIZE = '3g';
const BOOT_LIMIT_MS = 60_000;
const POLL_MS = 100;
/** Where control groups can be: the unified hierarchy, or systemd's own beside those of version 1. */
const HIERARCHIES = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'];

export interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * PID 1 of the machine: mounts what a kernel and an initrd would have mounted, then hands over to systemd. Settings of the kernel
 * are everybody's, so they can only be read there.
 */
const INIT = `set -e
root=$1
shift
for procs in "$@"; do echo $$ > "$procs"; done
exec unshare --pid --mount --ipc --uts --net --cgroup --fork --kill-child -- /bin/sh -ec '
  mount --bind "$1" "$1"
  cd "$1"
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/shm dev/pts
  mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
  done
  hostname lmas-machine
  # Services have mounts of their own, which the kernel gives only to who has the root of its namespace.
  pivot_root . mnt
  umount --lazy mnt
  exec env -i PATH=/usr/sbin:/usr/bin container=lmas /lib/systemd/systemd --unit=basic.target
' sh "$root"
`;

export class DebianMachine implements AsyncDisposable {
  readonly #directory: string;
  readonly #groups: readonly string[];
  #init: ChildProcess | undefined;
  #pid = 0;

  private constructor(directory: string) {
    this.#directory = directory;
    const name = path.basename(directory);
    this.#groups = HIERARCHIES.filter((at) => existsSync(path.join(at, 'cgroup.procs'))).map((at) =>
      path.join(at, name),
    );
  }

  /** Debian 12 with nothing but what is essential and `packages`. */
  static async make(packages: readonly string[]): Promise<DebianMachine> {
    const directory = mkdtempSync(path.join(tmpdir(), 'lmas-debian-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=755`, 'tmpfs', directory]);
    const machine = new DebianMachine(directory);
    try {
      const include = packages.length > 0 ? [`--include=${packages.join(',')}`] : [];
      const args = ['--variant=minbase', ...include, 'bookworm', machine.path('/')];
      const child = spawn('debootstrap', args, {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, DPKG_FORCE: 'unsafe-io' }, // it is in memory anyway
      });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said = `${said}${String(chunk)}`.slice(-2_000);
      });
      const [code] = (await once(child, 'close')) as [number | null];
      if (code !== 0) throw new Error(`debootstrap failed with ${code}:\n${said}`);
      // An id that came with the files would be the same everywhere; systemd makes one at its first start.
      writeFileSync(machine.path('/etc/machine-id'), '');
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** One of its files, as seen from here. */
  path(file: string): string {
    return path.join(this.#directory, 'root', file);
  }

  async boot(): Promise<void> {
    for (const group of this.#groups) mkdirSync(group, { recursive: true });
    const procs = this.#groups.map((group) => path.join(group, 'cgroup.procs'));
    const init = spawn('/bin/sh', ['-c', INIT, 'sh', this.path('/'), ...procs], { stdio: 'ignore' });
    this.#init = init;
    const deadline = performance.now() + BOOT_LIMIT_MS;
    while (performance.now() < deadline && init.exitCode === null) {
      // sh becomes unshare, whose only child is PID 1 of the machine.
      const children = readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8').trim();
      this.#pid = Number(children.split(' ')[0]);
      if (this.#pid > 0) {
        const { stdout } = await this.exec(['systemctl', 'is-system-running']);
        if (stdout.trim() === 'running') return;
      }
      await sleep(POLL_MS);
    }
    throw new Error(`The machine did not come up: ${(await this.exec(['systemctl', '--failed'])).stdout}`);
  }

  /** Runs a program there, as root. */
  async exec(command: readonly string[], { input = '' }: { input?: string } = {}): Promise<Output> {
    const enter = ['--target', String(this.#pid), '--all', '--root', '--wd', '--', '/usr/bin/env', '-i'];
    const environment = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8'];
    const child = spawn('nsenter', [...enter, ...environment, ...command], { stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      output.stdout += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      output.stderr += String(chunk);
    });
    child.stdin.on('error', () => undefined); // it may end without reading
    child.stdin.end(input);
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, ...output };
  }

  /** The same for what has to succeed; what it printed. */
  async must(command: readonly string[], options: { input?: string } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.exec(command, options);
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#init !== undefined && this.#init.exitCode === null) {
      const ended = once(this.#init, 'exit');
      this.#init.kill('SIGKILL'); // --kill-child takes PID 1 along, and that all others
      await ended;
    }
    for (const group of this.#groups) await removeGroups(group);
    execFileSync('umount', ['--recursive', this.#directory]);
    rmSync(this.#directory, { recursive: true });
  }
}

/** A group can be removed when the last of its processes has been reaped, and from the leaves on. */
async function removeGroups(group: string): Promise<void> {
  if (!existsSync(group)) return;
  const inside = execFileSync('find', [group, '-depth', '-type', 'd'], { encoding: 'utf8' }).trim().split('\n');
  for (const directory of inside) {
    for (let tries = 0; ; tries += 1) {
      try {
        rmdirSync(directory);
        break;
      } catch (error) {
        if (tries === 100) throw error;
        await sleep(20);
      }
    }
  }
}
