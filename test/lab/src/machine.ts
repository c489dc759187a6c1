// A machine of the lab: a libvirt host or a gateway machine, in namespaces of its own (see machine-init.sh). The object is a view: the
// machine lives on when it goes. Its process is recorded through the callback, before anything else can fail.

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CommandOptions, type CommandResult, run, startDetached } from './command.ts';
import { LabError } from './errors.ts';
import { fingerprintOf } from './machine-files.ts';
import {
  type Addresses,
  isHost,
  type MachineName,
  netnsOf,
  netnsPath,
  SHARED_DIR,
  type SiteName,
  siteOf,
} from './names.ts';
import { dataRoutes } from './network.ts';
import { childrenOf, isAlive, killRecorded, type ProcessRecord, recordOf, waitUntil } from './processes.ts';

export interface SshAccess {
  host: string;
  port: number;
  username: string;
  privateKeyPath: string;
  /** As OpenSSH prints it: `SHA256:` and base64 without padding. */
  hostKeySha256: string;
}

export interface MachineContext {
  lab: string;
  stateDir: string;
  addresses: Addresses;
  clientKeyPath: string;
  /** The `unshare` that holds the machine, as written down in the lab's state. */
  holder(): ProcessRecord | undefined;
  setHolder(record: ProcessRecord | undefined): void;
}

export type Daemon = 'libvirtd' | 'sshd';
export type Interface = 'mgmt' | 'data';

/** The checkout and its Node are where they are, read-only: whoever runs a program inside need not ask where it lies. */
const SEEN_INSIDE = [join(import.meta.dirname, '../../..'), process.execPath];

export class LabMachine {
  readonly name: MachineName;
  readonly site: SiteName;
  readonly netns: string;
  /** In the management network: SSH from the orchestrator. */
  readonly address: string;
  /** In the network of its site, from where the other site is reached over the WAN. */
  readonly dataAddress: string;
  readonly ssh: SshAccess;
  readonly directory: string;
  readonly #context: MachineContext;
  /** PID 1 as last found: asked for many times a second. */
  #init: ProcessRecord | undefined;

  constructor(context: MachineContext, name: MachineName) {
    this.#context = context;
    this.name = name;
    this.site = siteOf(name);
    this.netns = netnsOf(context.lab, name);
    this.address = context.addresses.machine[name].management;
    this.dataAddress = context.addresses.machine[name].data;
    this.directory = join(context.stateDir, 'machines', name);
    this.ssh = {
      host: this.address,
      port: 22,
      username: 'root',
      privateKeyPath: context.clientKeyPath,
      hostKeySha256: fingerprintOf(join(this.directory, 'ssh', 'host_key.pub')),
    };
  }

  /** PID (in the root namespace) of the machine's PID 1; throws LAB_MACHINE_DOWN when it does not run. */
  get pid(): number {
    const init = this.#findInit();
    if (!init) throw new LabError('LAB_MACHINE_DOWN', this.name);
    return init.pid;
  }

  get running(): boolean {
    return this.#findInit() !== undefined;
  }

  #findInit(): ProcessRecord | undefined {
    if (this.#init && isAlive(this.#init)) return this.#init;
    const holder = this.#context.holder();
    const child = holder && isAlive(holder) ? childrenOf(holder.pid)[0] : undefined;
    this.#init = child === undefined ? undefined : recordOf(child);
    return this.#init;
  }

  /** A path inside the machine, seen from outside. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  /** Runs a program inside. */
  exec(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run('nsenter', this.enterArguments(command), options);
  }

  enterArguments(command: readonly string[]): string[] {
    const environment = [
      'HOME=/root',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'LC_ALL=C',
      `TERM=${process.env.TERM ?? 'dumb'}`,
    ];
    return [
      '-t',
      String(this.pid),
      '-m',
      '-u',
      '-i',
      '-n',
      '-p',
      '--wd=/root',
      '--',
      'env',
      '-i',
      ...environment,
      ...command,
    ];
  }

  /** Starts the machine; returns when its daemons answer. Does nothing if it runs. */
  async start(): Promise<void> {
    if (this.running) return;
    const { lab, stateDir } = this.#context;
    mkdirSync(join(stateDir, 'shared'), { recursive: true });
    const env = {
      LAB_ROLE: isHost(this.name) ? 'host' : 'gateway',
      LAB_DIR: this.directory,
      LAB_SHARED: join(stateDir, 'shared'),
      LAB_SHARED_AT: SHARED_DIR,
      LAB_PROGRAMS: join(stateDir, 'programs'),
      LAB_SEEN: SEEN_INSIDE.join('\n'),
      LAB_HOSTNAME: this.name,
    };
    const apart = ['--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child=KILL', '--propagation', 'private'];
    const args = [
      `--net=${netnsPath(lab, this.name)}`,
      'unshare',
      ...apart,
      '/bin/bash',
      join(import.meta.dirname, 'machine-init.sh'),
    ];
    const holder = await startDetached('nsenter', args, this.logFile, env);
    this.#context.setHolder(recordOf(holder));
    await this.#ready();
  }

  get logFile(): string {
    return join(this.directory, 'init.log');
  }

  async #ready(): Promise<void> {
    const up = await waitUntil(() => this.running && existsSync(this.path('/run/lab/ready')), 20_000);
    if (!up) throw new LabError('LAB_TIMEOUT', `${this.name} did not start; see ${this.logFile}`);
    await this.#sshdListens();
    if (isHost(this.name)) await this.libvirtAnswers();
  }

  async libvirtAnswers(timeoutMs = 30_000): Promise<void> {
    const answers = async () =>
      (await this.exec(['virsh', '-c', 'qemu:///system', 'uri'], { allowFailure: true })).code === 0;
    if (!(await waitUntil(answers, timeoutMs, 100)))
      throw new LabError('LAB_TIMEOUT', `libvirtd of ${this.name} does not answer`);
  }

  /** The power cord: everything in the machine is gone at once, its disk stays. */
  async crash(): Promise<void> {
    for (const record of [this.#findInit(), this.#context.holder()]) {
      if (record && !(await killRecorded(record))) throw new LabError('LAB_TIMEOUT', `${this.name} does not die`);
    }
    this.#context.setHolder(undefined);
  }

  /** SIGSTOP: the daemon is there but does not answer. */
  async pause(daemon: Daemon): Promise<void> {
    await this.#signal(daemon, 'STOP');
  }

  async resume(daemon: Daemon): Promise<void> {
    await this.#signal(daemon, 'CONT');
  }

  /** SIGKILL to libvirtd; its VMs run on. */
  async killLibvirtd(): Promise<void> {
    await this.#signal('libvirtd', 'KILL');
  }

  async startLibvirtd(): Promise<void> {
    await this.exec(['/usr/sbin/libvirtd', '--daemon', '--pid-file', '/run/libvirtd.pid']);
    await this.libvirtAnswers();
  }

  async restartLibvirtd(): Promise<void> {
    await this.killLibvirtd();
    await this.startLibvirtd();
  }

  /** Ends the listening sshd and every session it serves. */
  async killSshd(): Promise<void> {
    await this.exec(['/bin/bash', '-c', 'pkill -KILL -x sshd; while pgrep -x sshd >/dev/null; do sleep 0.01; done']);
  }

  async startSshd(): Promise<void> {
    await this.exec(['/usr/sbin/sshd', '-f', '/run/lab/sshd_config', '-E', '/var/log/sshd.log']);
    await this.#sshdListens();
  }

  /** It goes to the background before it listens. */
  async #sshdListens(): Promise<void> {
    const listens = async () => (await this.exec(['ss', '-Hltn', 'sport = :22'])).stdout !== '';
    if (!(await waitUntil(listens, 10_000, 20)))
      throw new LabError('LAB_TIMEOUT', `sshd of ${this.name} does not listen`);
  }

  /** Pulls a network cable, or puts it back: `mgmt` is the orchestrator's way in, `data` the network of the site. */
  async setInterface(which: Interface, up: boolean): Promise<void> {
    await run('ip', ['-n', this.netns, 'link', 'set', which, up ? 'up' : 'down']);
    if (up && which === 'data')
      await run('ip', ['-n', this.netns, '-batch', '-'], {
        input: `${dataRoutes(this.name, this.#context.addresses).join('\n')}\n`,
      });
  }

  async #signal(daemon: Daemon, signal: 'STOP' | 'CONT' | 'KILL'): Promise<void> {
    const script = `pid=$(cat /run/${daemon}.pid) && kill -${signal} "$pid" && if [ ${signal} = KILL ]; then while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done; fi`;
    await this.exec(['/bin/bash', '-c', script]);
  }
}

/** Forgets a machine's volatile leftovers in the state directory. */
export function forgetMachine(stateDir: string, name: MachineName): void {
  rmSync(join(stateDir, 'machines', name), { recursive: true, force: true });
}

/** The files that machines copy in: kept with the lab, so that a running lab does not depend on the source tree. */
export function writeProgram(stateDir: string, name: string, data: Buffer): void {
  mkdirSync(join(stateDir, 'programs'), { recursive: true });
  writeFileSync(join(stateDir, 'programs', name), data, { mode: 0o755 });
}
