/**
 * Two scripted hosts with a VM that is off at one of them and starts with it: for relocations. They see the same disks, or copy them.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvmOptions, optionsSchema } from '../config.ts';
import { heldFor } from '../relocation/definition.ts';
import { keyDirectories } from './drill-world.ts';
import { guestXml } from './fake-libvirt/guest.ts';
import { type FakeHost, FakeWorld } from './fake-libvirt/index.ts';

export class FakeRelocationWorld implements AsyncDisposable {
  readonly vm = { id: '4dea22b3-1d52-d8f3-2516-782e98ab3fa0', name: 'web' };
  readonly source: FakeHost;
  readonly destination: FakeHost;
  protected readonly files = mkdtempSync(join(tmpdir(), 'lmas-kvm-relocation-'));
  protected readonly signal = AbortSignal.timeout(120_000);

  static readonly options: KvmOptions = optionsSchema.parse({ disks: 'shared' });

  constructor() {
    writeFileSync(join(this.files, 'vda.img'), Buffer.alloc(1_048_576));
    const world = new FakeWorld();
    this.source = world.addHost('a', this.files);
    this.destination = world.addHost('b', this.files);
    this.source.addGuest(this.vm.name, this.vm.id);
    this.source.endGuest(this.vm.id);
    this.source.guest(this.vm.id).autostart = true;
  }

  async connect() {
    return {
      source: await this.source.session(this.signal),
      destination: await this.destination.session(this.signal),
    };
  }

  async definitions() {
    const definition = (host: FakeHost) => {
      const guest = host.guests.get(this.vm.id);
      if (guest === undefined) return 'absent';
      return heldFor(guestXml(guest, host.files)) === undefined ? 'startable' : 'held';
    };
    return { source: definition(this.source), destination: definition(this.destination) } as const;
  }

  async fingerprint(): Promise<string> {
    const { name, state, persistent, autostart, xml } = this.source.guest(this.vm.id);
    return JSON.stringify({ name, state, persistent, autostart, xml });
  }

  async startsWithHost(): Promise<boolean> {
    const guest = this.source.guests.get(this.vm.id) ?? this.destination.guest(this.vm.id);
    return guest.autostart;
  }

  async leftovers(): Promise<string[]> {
    return readdirSync(this.files).filter((file) => file !== 'vda.img');
  }

  startAtSource(): void {
    this.source.start(this.vm.id);
  }

  defineAtDestination(): void {
    this.destination.define(this.vm.name, this.vm.id, guestXml(this.source.guest(this.vm.id), this.files));
  }

  killOrchestrator(): void {
    this.source.killClients();
    this.destination.killClients();
  }

  setDestinationReachable(reachable: boolean): void {
    this.destination.setDown(!reachable);
    if (!reachable) this.destination.killClients();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.files, { recursive: true, force: true });
  }
}

export const DISK_BYTES = 1_048_576;

/** The same, but the disk is on storage of the source alone: real programs copy it, over loopback. */
export class CopiedRelocationWorld extends FakeRelocationWorld {
  static override readonly options: KvmOptions = optionsSchema.parse({});
  readonly diskMap: Readonly<Record<string, string>>;
  /** What the disk holds. */
  readonly content = Buffer.concat([randomBytes(DISK_BYTES / 2), Buffer.alloc(DISK_BYTES / 2)]);

  constructor() {
    super();
    for (const site of ['a', 'b']) mkdirSync(join(this.files, site));
    rmSync(join(this.files, 'vda.img'));
    this.source.files = join(this.files, 'a');
    this.destination.files = join(this.files, 'b');
    this.destination.address = '127.0.0.1';
    writeFileSync(this.disk('a'), this.content);
    this.diskMap = { vda: this.disk('b') };
  }

  disk(site: 'a' | 'b'): string {
    return join(this.files, site, 'vda.img');
  }

  override async connect() {
    // A range of its own: other tests of this machine lease ports too, each in a process of its own.
    const portRange = { from: 46_000, to: 46_999 };
    return {
      source: await this.source.session(this.signal),
      destination: await this.destination.session(this.signal, portRange),
    };
  }

  /** The disk at the destination belongs to the VM that is there. */
  override async leftovers(): Promise<string[]> {
    const isThere = this.destination.guests.has(this.vm.id);
    const files = readdirSync(join(this.files, 'b')).filter((file) => !isThere || file !== 'vda.img');
    const keys = keyDirectories(this.source, this.destination);
    const lines = execFileSync('ps', ['-eo', 'args=', '-ww']).toString('utf8').split('\n');
    return [...files, ...keys, ...lines.filter((line) => /^qemu-(nbd|img)/.test(line) && line.includes(this.files))];
  }
}
