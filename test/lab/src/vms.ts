// The VMs of a lab: made with virsh inside the hosts, spoken to over their serial lines. Nothing here takes part in a migration.

import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { diskPath, domainXml, serialPath, type VmOptions } from './domain.ts';
import { LabError } from './errors.ts';
import { askGuest, type GuestStatus, type GuestVerdict, statusOf, verdictOf } from './guest-console.ts';
import type { LabMachine } from './machine.ts';
import { SITES, type SiteName } from './names.ts';
import { waitUntil } from './processes.ts';

export interface VmRow {
  site: SiteName;
  name: string;
  uuid: string;
  /** As virsh says it: `running`, `shut off`, `paused` … */
  state: string;
  persistent: boolean;
}

/** What libvirt wrote down about a VM it has started (its status file); absent when the host runs no such VM. */
export interface RunState {
  state: 'running' | 'paused' | 'shutdown' | 'shutoff' | 'crashed' | 'other';
  reason: string;
  pid: number;
}

export class LabVms {
  readonly #hosts: Record<SiteName, LabMachine>;

  constructor(hosts: Record<SiteName, LabMachine>) {
    this.#hosts = hosts;
  }

  async virsh(site: SiteName, args: readonly string[], timeoutMs = 60_000): Promise<string> {
    return (await this.#hosts[site].exec(['virsh', '-q', '-c', 'qemu:///system', ...args], { timeoutMs })).stdout;
  }

  /** Makes the disks and defines the VM. Throws LAB_VM_EXISTS when there is one, wherever it is: its disks would be lost. Returns its UUID. */
  async define(options: VmOptions): Promise<{ uuid: string; xml: string }> {
    const site = options.site ?? 'a';
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(options.name))
      throw new LabError('LAB_ARGUMENT', `VM name ${JSON.stringify(options.name)}`);
    if ((options.disks?.length ?? 0) > 2) throw new LabError('LAB_ARGUMENT', 'two disks at most');
    const there = (await this.list()).find(({ name }) => name === options.name);
    if (there) {
      const what = `${there.name} at site ${there.site}, ${there.state}; \`vm remove ${there.name}\` makes room for another`;
      throw new LabError('LAB_VM_EXISTS', what);
    }
    const identity = { uuid: options.uuid ?? randomUUID(), seed: randomInt(1, 2 ** 31) };
    for (const [position, disk] of (options.disks ?? []).entries()) {
      await this.#hosts[site].exec([
        'qemu-img',
        'create',
        '-q',
        '-f',
        disk.format,
        diskPath(options.name, disk, position),
        `${disk.sizeMib}M`,
      ]);
    }
    const xml = domainXml(options, identity);
    await this.defineXml(site, xml);
    return { uuid: identity.uuid, xml };
  }

  /** Defines a VM from any libvirt XML. */
  async defineXml(site: SiteName, xml: string): Promise<void> {
    const file = `/run/lab/define-${randomUUID()}.xml`;
    writeFileSync(this.#hosts[site].path(file), xml);
    try {
      await this.virsh(site, ['define', file]);
    } finally {
      rmSync(this.#hosts[site].path(file), { force: true });
    }
  }

  /** Starts the VM; returns when its guest has filled its memory and answers. Throws LAB_VM_UNKNOWN, LAB_VM_RUNS. */
  async start(
    site: SiteName,
    name: string,
    options: { waitMs?: number; signal?: AbortSignal } = {},
  ): Promise<GuestStatus> {
    const there = await this.#row(site, name);
    if (!there) throw new LabError('LAB_VM_UNKNOWN', `${name} at site ${site}; \`vm list\` shows those that there are`);
    if (there.state !== 'shut off') {
      throw new LabError('LAB_VM_RUNS', `${name} at site ${site}, ${there.state}; \`vm destroy ${name}\` ends it`);
    }
    await this.virsh(site, ['start', name]);
    return this.status(site, name, {
      timeoutMs: options.waitMs ?? 90_000,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  /** Ends the VM at once (a pulled plug), if it runs there. */
  async destroy(site: SiteName, name: string): Promise<void> {
    if ((await this.#row(site, name))?.state !== 'shut off') await this.#unlessUnknown(site, name, ['destroy', name]);
  }

  async undefine(site: SiteName, name: string): Promise<void> {
    await this.#unlessUnknown(site, name, ['undefine', name]);
  }

  /** Ends and undefines the VM everywhere and deletes its disks. */
  async remove(name: string): Promise<void> {
    for (const site of SITES) {
      if (!this.#hosts[site].running) continue;
      await this.destroy(site, name);
      await this.undefine(site, name);
      for (const directory of ['/var/lib/libvirt/images', '/var/lib/lab-shared'])
        this.#deleteImages(site, directory, name);
    }
  }

  #deleteImages(site: SiteName, directory: string, name: string): void {
    const path = this.#hosts[site].path(directory);
    const pattern = new RegExp(`^${name.replaceAll('.', '\\.')}-[01]\\.(img|qcow2)$`);
    for (const file of readdirSync(path).filter((entry) => pattern.test(entry)))
      rmSync(join(path, file), { force: true });
  }

  async #unlessUnknown(site: SiteName, name: string, args: string[]): Promise<void> {
    if (await this.#row(site, name)) await this.virsh(site, args);
  }

  async #row(site: SiteName, name: string): Promise<VmRow | undefined> {
    return (await this.list(site)).find((row) => row.name === name);
  }

  async list(...sites: SiteName[]): Promise<VmRow[]> {
    const rows: VmRow[] = [];
    for (const site of sites.length > 0 ? sites : SITES) {
      if (!this.#hosts[site].running) continue;
      const persistent = new Set((await this.virsh(site, ['list', '--all', '--persistent', '--uuid'])).split('\n'));
      for (const line of (await this.virsh(site, ['list', '--all', '--uuid', '--name'])).split('\n').filter(Boolean)) {
        const [uuid = '', name = ''] = line.trim().split(/\s+/, 2);
        const state = (await this.virsh(site, ['domstate', uuid])).trim();
        rows.push({ site, name, uuid, state, persistent: persistent.has(uuid) });
      }
    }
    return rows;
  }

  /** State of the VM at a site as virsh says it, or `absent`. */
  async state(site: SiteName, name: string): Promise<string> {
    return (await this.#row(site, name))?.state ?? 'absent';
  }

  xml(site: SiteName, name: string, ...flags: string[]): Promise<string> {
    return this.virsh(site, ['dumpxml', name, ...flags]);
  }

  /** Counters and nonce, from the guest itself. Throws LAB_GUEST_SILENT when it does not run at this site. */
  async status(
    site: SiteName,
    name: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<GuestStatus> {
    return statusOf(await this.#ask(site, name, 'stat', options));
  }

  /** Puts a nonce into the guest's memory (made up unless given); returns it. */
  async setNonce(site: SiteName, name: string, nonce = randomBytes(16).toString('hex')): Promise<string> {
    const answer = await this.#ask(site, name, `nonce ${nonce}`);
    if (answer.get('nonce') !== nonce) throw new LabError('LAB_GUEST_REFUSED', `nonce: ${answer.get('nonce')}`);
    return nonce;
  }

  async setDirtyRate(site: SiteName, name: string, pagesPerSec: number): Promise<void> {
    await this.#ask(site, name, `rate ${pagesPerSec}`);
  }

  async setDiskRate(site: SiteName, name: string, sectorsPerSec: number): Promise<void> {
    await this.#ask(site, name, `sectors ${sectorsPerSec}`);
  }

  /** Every page and every written disk sector, checked by the guest itself at this site. */
  async verify(
    site: SiteName,
    name: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<GuestVerdict> {
    return verdictOf(await this.#ask(site, name, 'verify', { timeoutMs: 60_000, ...options }));
  }

  #ask(
    site: SiteName,
    name: string,
    request: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<Map<string, string>> {
    return askGuest(this.#hosts[site].path(serialPath(name)), request, options);
  }

  /** What libvirt's own status file says about the VM at a site: a file read, so it may be asked many times a second. */
  runState(site: SiteName, uuid: string): RunState | undefined {
    return this.#hosts[site].running ? readRunState(this.#hosts[site].path('/run/libvirt/qemu'), uuid) : undefined;
  }

  /** Waits until the VM's run state at a site is as wanted. */
  async waitForState(site: SiteName, name: string, wanted: string, timeoutMs = 30_000): Promise<void> {
    let last = '';
    const reached = await waitUntil(
      async () => {
        last = await this.state(site, name);
        return last === wanted;
      },
      timeoutMs,
      100,
    );
    if (!reached) throw new LabError('LAB_TIMEOUT', `${name} at ${site} is ${last}, not ${wanted}`);
  }
}

/** Exported for the sampler, which knows the directories already. */
export function readRunState(directory: string, uuid: string): RunState | undefined {
  for (const file of listXml(directory)) {
    const text = readQuietly(join(directory, file));
    if (!text?.includes(`<uuid>${uuid}</uuid>`)) continue;
    const [, state = 'other', reason = '', pid = '0'] =
      /<domstatus state='(\w+)' reason='([^']*)' pid='(\d+)'/.exec(text) ?? [];
    return { state: state as RunState['state'], reason, pid: Number(pid) };
  }
  return undefined;
}

function listXml(directory: string): string[] {
  try {
    return readdirSync(directory).filter((file) => file.endsWith('.xml'));
  } catch {
    return []; // the host has just gone down
  }
}

function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // removed between listing and reading: the VM has just ended
  }
}
