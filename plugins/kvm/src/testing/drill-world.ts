/**
 * Two scripted hosts for drills: their daemons are imaginary, but what copies the disks is real, qemu-nbd at both and qemu-img,
 * over loopback and with the drill's key.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PluginError } from '@lmas/plugin-api';
import { type KvmOptions, optionsSchema } from '../config.ts';
import { attribute, childElements, descend, parseXml } from '../definition/xml.ts';
import { networkNameOf } from '../drill/devices.ts';
import { STATE } from '../rpc/constants.ts';
import type { Guest } from './fake-libvirt/guest.ts';
import { type FakeHost, FakeWorld } from './fake-libvirt/index.ts';

export const DISK_BYTES = 1_048_576;

export class FakeDrillWorld implements AsyncDisposable {
  readonly vm = { id: '4dea22b3-1d52-d8f3-2516-782e98ab3fa0', name: 'web' };
  readonly networkMap = { default: 'quiet' };
  readonly source: FakeHost;
  readonly destination: FakeHost;
  /** What the VM's disk holds. */
  readonly content = Buffer.concat([randomBytes(DISK_BYTES / 2), Buffer.alloc(DISK_BYTES / 2)]);
  readonly #directory: string;
  readonly #owned: boolean;
  readonly #signal = AbortSignal.timeout(120_000);
  #reachable = true;

  /** @param directory of copies, where the options are fixed before there is a world */
  constructor(directory?: string) {
    this.#directory = directory ?? mkdtempSync(join(tmpdir(), 'lmas-kvm-drill-'));
    this.#owned = directory === undefined;
    for (const site of ['a', 'b']) mkdirSync(join(this.#directory, site), { recursive: true });
    writeFileSync(join(this.#directory, 'a', 'vda.img'), this.content);
    const world = new FakeWorld();
    this.source = world.addHost('a', join(this.#directory, 'a'));
    this.destination = world.addHost('b', join(this.#directory, 'b'));
    this.destination.address = '127.0.0.1';
    this.destination.networks.set('quiet', "<network><name>quiet</name><bridge name='virbr7'/></network>");
    // libvirt gives the host an address in a network that has `<ip>`.
    this.destination.bridges.set('virbr7', { addresses: ['192.0.2.129'], ports: new Map() });
    this.destination.beforeCommand = () => {
      if (!this.#reachable) throw new PluginError('UNREACHABLE', 'No route to host.');
    };
    this.source.addGuest(this.vm.name, this.vm.id);
    this.source.guest(this.vm.id).autostart = true;
  }

  get options(): KvmOptions {
    return drillOptions(this.#directory);
  }

  async connect() {
    // A range of its own: other tests of this machine lease ports too, each in a process of its own.
    const portRange = { from: 47_000, to: 47_999 };
    return {
      source: await this.source.session(this.#signal),
      destination: await this.destination.session(this.#signal, portRange),
    };
  }

  async fingerprint(): Promise<string> {
    const { id, state, reason, life, persistent, autostart, backup } = this.source.guest(this.vm.id);
    return JSON.stringify({ id, state, reason, life, persistent, autostart, backsUp: backup !== null });
  }

  async copies() {
    const running = [...this.destination.guests.values()].filter(({ state }) => state === STATE.running);
    return running.map((guest) => ({ id: guest.uuid, name: guest.name, networks: networksOf(guest) }));
  }

  async leftovers(): Promise<string[]> {
    const files = ['a', 'b'].flatMap((site) => readdirSync(join(this.#directory, site)));
    return [
      ...files.filter((file) => file !== 'vda.img'),
      ...keyDirectories(this.source, this.destination),
      ...processes(this.#directory),
    ];
  }

  killOrchestrator(): void {
    this.source.killClients();
    this.destination.killClients();
  }

  setDestinationReachable(reachable: boolean): void {
    this.#reachable = reachable;
    this.destination.setDown(!reachable);
  }

  whileCopying(action: () => void): void {
    this.source.beforeCommand = (command) => {
      if (command[0] !== 'qemu-img' || command[1] !== 'convert') return;
      this.source.beforeCommand = () => undefined;
      action();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owned) rmSync(this.#directory, { recursive: true, force: true });
    else for (const site of ['a', 'b']) rmSync(join(this.#directory, site), { recursive: true, force: true });
  }
}

export const drillOptions = (directory: string): KvmOptions =>
  optionsSchema.parse({ disks: 'shared', drill: { directory: join(directory, 'b') } });

function networksOf({ xml }: Guest): string[] {
  const devices = descend(parseXml(xml ?? '', 'domain').root, 'devices');
  const nics = devices === undefined ? [] : childElements(devices, 'interface');
  return nics
    .filter((nic) => attribute(descend(nic, 'link'), 'state') !== 'down')
    .flatMap((nic) => networkNameOf(nic) ?? []);
}

/** Of those that these hosts' commands named, which are there: other tests of this machine have keys too. */
export function keyDirectories(...hosts: readonly FakeHost[]): string[] {
  const words = new Set(hosts.flatMap(({ commands }) => commands.flat()));
  return readdirSync('/tmp').filter((name) => /^lmas-drill-[0-9a-f]{32}-/.test(name) && words.has(`/tmp/${name}`));
}

/** Only what works below this world's directory: other tests drill too. */
function processes(directory: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'args=', '-ww']).toString('utf8').split('\n');
  return lines.filter((line) => /^qemu-(nbd|img)/.test(line) && line.includes(directory));
}
