// A lab: two sites with a libvirt host and a gateway machine each, a WAN between them, and a root namespace that reaches all four.
// It lives in the kernel and in its state directory, not in this process: labUp makes it, openLab attaches, labDown removes whatever of
// it exists. Everything is named after the lab, so a lab that died half-way is found and removed by the next labUp or labDown.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.ts';
import { run, startDetached } from './command.ts';
import { LabError } from './errors.ts';
import { indexOfLab, leaseIndex, releaseIndex, withLabLock } from './lease.ts';
import { DEFAULT_LINK, type Direction, type Link, type LinkOptions, type LinkStats } from './link.ts';
import { emulatorLink, startEmulator } from './link-emulator.ts';
import { hasNetem, netemLink, startNetem } from './link-netem.ts';
import { LabMachine, type MachineContext, writeProgram } from './machine.ts';
import { ensureKeyPair, writeMachineFiles } from './machine-files.ts';
import { addManagementDelay, removeManagementDelay } from './management-delay.ts';
import {
  type Addresses,
  addressesOf,
  checkName,
  DEFAULT_NAME,
  LEASE_DIR,
  MACHINES,
  type MachineName,
  netnsOf,
  netnsPath,
  type SiteName,
  STATE_ROOT,
} from './names.ts';
import { createNetwork, processesIn, removeNetwork } from './network.ts';
import { isAlive, killRecorded, recordOf, waitUntil } from './processes.ts';
import { type Sampler, startSampler } from './sampler.ts';
import { type LabState, linkSettingsSchema, readState, readStateIfWhole, writeState } from './state.ts';
import { LabVms } from './vms.ts';

export interface LabOptions extends Partial<LinkOptions> {
  name?: string;
  /** Where machines keep their disks; not a tmpfs (libvirt wants direct I/O). /var/lib/lmas-lab/NAME unless told. */
  stateDir?: string;
  /** Gives up bringing it up: what has been made is taken down again, then the call fails with the signal's reason. */
  signal?: AbortSignal;
}

/** While it lasts, until it is disposed of. */
export interface ManagementDelay extends AsyncDisposable {
  /** Of the emulator, in the root namespace; null where the kernel delays. */
  readonly pid: number | null;
}

export interface LabSite {
  host: LabMachine;
  gatewayHost: LabMachine;
}

export class Lab {
  readonly name: string;
  readonly stateDir: string;
  readonly sites: Record<SiteName, LabSite>;
  readonly machines: Record<MachineName, LabMachine>;
  readonly vm: LabVms;
  /** The key pair for SSH to all machines. */
  readonly clientKeyPath: string;
  #state: LabState;
  readonly #link: Link;

  constructor(stateDir: string, state: LabState) {
    this.name = state.name;
    this.stateDir = stateDir;
    this.#state = state;
    this.clientKeyPath = clientKeyOf(stateDir);
    const machine = (name: MachineName) => new LabMachine(this.#context(name), name);
    this.machines = {
      'host-a': machine('host-a'),
      'gw-a': machine('gw-a'),
      'host-b': machine('host-b'),
      'gw-b': machine('gw-b'),
    };
    this.sites = {
      a: { host: this.machines['host-a'], gatewayHost: this.machines['gw-a'] },
      b: { host: this.machines['host-b'], gatewayHost: this.machines['gw-b'] },
    };
    this.vm = new LabVms({ a: this.sites.a.host, b: this.sites.b.host });
    this.#link =
      state.linkKind === 'netem' ? netemLink(state.name, () => this.link) : emulatorLink(join(stateDir, 'wan.sock'));
  }

  #context(machine: MachineName): MachineContext {
    return {
      lab: this.name,
      stateDir: this.stateDir,
      addresses: addressesOf(this.#state.index),
      clientKeyPath: this.clientKeyPath,
      holder: () => {
        const known = this.#state.processes[machine];
        if (known && isAlive(known)) return known;
        this.#state = readState(this.stateDir) ?? this.#state; // another process may have started it again
        return this.#state.processes[machine];
      },
      setHolder: (record) => {
        this.#update((state) => {
          if (record) state.processes[machine] = record;
          else delete state.processes[machine];
        });
      },
    };
  }

  /** Applies a change to the newest state on disk: another process may have started a machine meanwhile. */
  #update(change: (state: LabState) => void): LabState {
    const state = readState(this.stateDir) ?? this.#state;
    change(state);
    writeState(this.stateDir, state);
    this.#state = state;
    return state;
  }

  get addresses(): Addresses {
    return addressesOf(this.#state.index);
  }

  /** What the line is set to. */
  get link(): LinkOptions {
    return this.#state.link;
  }

  async setLink(options: Partial<LinkOptions>): Promise<LinkOptions> {
    const link = checkLink({ ...this.#state.link, ...definedOf(options) });
    await this.#link.set(link);
    return this.#update((state) => {
      state.link = link;
    }).link;
  }

  async linkStats(): Promise<LinkStats> {
    return { settings: this.link, ...(await this.#link.stats()) };
  }

  /** Cuts the WAN: for so many milliseconds (returns at once with the emulator), or `on` and later `off`. */
  outage(how: number | 'on' | 'off', direction: Direction = 'both'): Promise<void> {
    return this.#link.outage(direction, how);
  }

  /**
   * Gives the management network a round trip, as an orchestrator has it that is far from the sites. One at a time: it replaces
   * another, and the next `labUp` takes one away that nobody disposed of.
   */
  async delayManagement(rttMs: number): Promise<ManagementDelay> {
    await this.restoreManagement();
    const state = this.#update((state) => {
      state.managementRttMs = rttMs;
    });
    try {
      const emulator = await addManagementDelay(state, this.stateDir, rttMs);
      this.#update((state) => {
        if (emulator) state.processes.management = emulator;
      });
      return { pid: emulator?.pid ?? null, [Symbol.asyncDispose]: () => this.restoreManagement() };
    } catch (error) {
      await this.restoreManagement();
      throw error;
    }
  }

  /** The management network without delay, whether it has one or not. */
  async restoreManagement(): Promise<void> {
    const state = readState(this.stateDir) ?? this.#state;
    if (state.managementRttMs === undefined) return;
    const emulator = state.processes.management;
    if (emulator && !(await killRecorded(emulator)))
      throw new LabError('LAB_TIMEOUT', 'the emulator of the management network does not die');
    await removeManagementDelay(state);
    this.#update((state) => {
      delete state.managementRttMs;
      delete state.processes.management;
    });
  }

  /** Which hosts run the VM now, by libvirt's word. */
  copies(uuid: string): Record<SiteName, boolean> {
    return { a: this.vm.runState('a', uuid)?.state === 'running', b: this.vm.runState('b', uuid)?.state === 'running' };
  }

  /** Watches the VM on both hosts until stopped; see SamplerReport. */
  startSampler(uuid: string, periodMs?: number): Sampler {
    return startSampler(this.vm, this.witnessFile, uuid, periodMs);
  }

  get witnessFile(): string {
    return join(this.stateDir, 'heartbeats');
  }

  /** Nothing to let go: the lab lives on. Here so that callers may treat it like other resources. */
  close(): void {}
}

/** @throws LabError LAB_ARGUMENT naming each value that no line can have */
function checkLink(link: LinkOptions): LinkOptions {
  const checked = linkSettingsSchema.safeParse(link);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new LabError('LAB_ARGUMENT', problems.join('; '));
}

const clientKeyOf = (stateDir: string) => join(stateDir, 'client_key');
const pointerOf = (name: string) => join(LEASE_DIR, `${name}.dir`);

function stateDirOf(name: string): string {
  return existsSync(pointerOf(name)) ? readFileSync(pointerOf(name), 'utf8') : join(STATE_ROOT, name);
}

function definedOf<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** @throws LabError LAB_NOT_ROOT */
export function assertRoot(): void {
  if (process.getuid?.() !== 0) throw new LabError('LAB_NOT_ROOT', `running as uid ${process.getuid?.()}`);
}

/** Brings the lab up. A lab that is up already is kept and its lines set as asked; a half-dead one is taken down first. */
export async function labUp(options: LabOptions = {}): Promise<Lab> {
  assertRoot();
  const name = checkName(options.name ?? DEFAULT_NAME);
  const { name: _name, stateDir: _stateDir, signal, ...linkOptions } = options;
  const link = checkLink({ ...DEFAULT_LINK, ...definedOf(linkOptions) });
  return withLabLock(name, async () => {
    const running = attach(name);
    if (running) {
      await running.setLink(linkOptions);
      await running.restoreManagement();
      return running;
    }
    await tearDown(name);
    const stateDir = options.stateDir ?? join(STATE_ROOT, name);
    try {
      return await create(name, stateDir, link, signal);
    } catch (error) {
      await tearDown(name);
      throw error;
    }
  });
}

/** Attaches to a lab that is up; throws LAB_NOT_UP. */
export async function openLab(name: string = DEFAULT_NAME): Promise<Lab> {
  assertRoot();
  const lab = attach(checkName(name));
  if (!lab) throw new LabError('LAB_NOT_UP', name);
  return lab;
}

/** The lab if it is up and whole (machines that were crashed on purpose apart). */
function attach(name: string): Lab | undefined {
  const stateDir = stateDirOf(name);
  const state = indexOfLab(name) === undefined ? undefined : readStateIfWhole(stateDir);
  if (!state?.complete || !existsSync(netnsPath(name, 'wan'))) return undefined;
  return Object.values(state.processes).every(isAlive) ? new Lab(stateDir, state) : undefined;
}

async function create(name: string, stateDir: string, link: LinkOptions, signal?: AbortSignal): Promise<Lab> {
  signal?.throwIfAborted();
  const index = leaseIndex(name);
  writeFileSync(pointerOf(name), stateDir, { mode: 0o600 });
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const state: LabState = { name, index, complete: false, linkKind: 'emulator', link, processes: {} };
  writeState(stateDir, state);
  const [guest] = await Promise.all([
    build('guest.elf'),
    build('lab-wan'),
    build('lab-witness'),
    ensureKeyPair(clientKeyOf(stateDir), `lab-${name}`),
  ]);
  writeProgram(stateDir, 'guest.elf', readFileSync(guest));
  writeProgram(stateDir, 'lab-qemu', readFileSync(join(import.meta.dirname, 'lab-qemu.sh')));
  const addresses = addressesOf(index);
  await Promise.all(
    MACHINES.map((machine) =>
      writeMachineFiles(join(stateDir, 'machines', machine), machine, addresses, clientKeyOf(stateDir)),
    ),
  );
  signal?.throwIfAborted();
  await createNetwork(name, index, addresses);
  signal?.throwIfAborted();
  await startLink(name, stateDir, state);
  await startWitness(name, stateDir, state);
  const lab = new Lab(stateDir, state);
  await lab.setLink(link);
  signal?.throwIfAborted();
  // All are waited for, even if one fails: none may go on starting while the lab is taken down.
  const started = await Promise.allSettled(MACHINES.map((machine) => lab.machines[machine].start()));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  signal?.throwIfAborted();
  writeState(stateDir, { ...(readState(stateDir) ?? state), complete: true });
  return new Lab(stateDir, readState(stateDir) ?? state);
}

async function startLink(name: string, stateDir: string, state: LabState): Promise<void> {
  if (await hasNetem(name)) {
    state.linkKind = 'netem';
    await startNetem(name);
  } else {
    state.processes.wan = await startEmulator(
      netnsOf(name, 'wan'),
      ['a', 'b'],
      join(stateDir, 'wan.sock'),
      join(stateDir, 'wan.log'),
    );
  }
  writeState(stateDir, state);
}

async function startWitness(name: string, stateDir: string, state: LabState): Promise<void> {
  const log = join(stateDir, 'witness.log');
  const pid = await startDetached(
    await build('lab-witness'),
    [join(stateDir, 'heartbeats'), netnsPath(name, 'host-a'), netnsPath(name, 'host-b')],
    log,
  );
  const record = recordOf(pid);
  if (record) state.processes.witness = record;
  writeState(stateDir, state);
  const heard = () =>
    existsSync(join(stateDir, 'heartbeats')) &&
    readFileSync(join(stateDir, 'heartbeats')).subarray(0, 8).toString() === 'LMASHB01';
  if (!record || !(await waitUntil(heard, 5_000)))
    throw new LabError('LAB_TIMEOUT', `the witness did not start; see ${log}`);
}

/** Takes the lab down, whatever of it exists; says what would not go. */
export async function labDown(name: string = DEFAULT_NAME): Promise<{ leftovers: string[] }> {
  assertRoot();
  return withLabLock(checkName(name), () => tearDown(name));
}

async function tearDown(name: string): Promise<{ leftovers: string[] }> {
  const stateDir = stateDirOf(name);
  const leftovers: string[] = [];
  for (const [what, record] of Object.entries(readStateIfWhole(stateDir)?.processes ?? {})) {
    if (!(await killRecorded(record))) leftovers.push(`process ${record.pid} (${what})`);
  }
  // Whatever else runs in namespaces that bear our name was started by this lab: a shell, a program from a lost state file.
  for (const pid of await processesIn(name)) {
    const record = pid === process.pid ? undefined : recordOf(pid);
    if (record && !(await killRecorded(record))) leftovers.push(`process ${pid}`);
  }
  leftovers.push(...(await removeNetwork(name)));
  leftovers.push(...(await mountsBelow(stateDir)).map((mount) => `mount ${mount}`));
  if (leftovers.length > 0) return { leftovers };
  rmSync(stateDir, { recursive: true, force: true });
  rmSync(pointerOf(name), { force: true });
  releaseIndex(name);
  if (existsSync(stateDir)) leftovers.push(`directory ${stateDir}`);
  return { leftovers };
}

async function mountsBelow(directory: string): Promise<string[]> {
  const { stdout } = await run('findmnt', ['-rno', 'TARGET'], { allowFailure: true });
  return stdout.split('\n').filter((target) => target.startsWith(`${directory}/`));
}
