/**
 * Two pools on loopback addresses for the compliance suite: a VM with two disks runs in the first. The pools say which guest
 * runs where and count copies; the plugin is not asked.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndpointSession } from '@lmas/plugin-api';
import { createXenPlugin } from '@lmas/plugin-xen';
import { CertificateAuthority, certificateOf } from '../lab/xapi/certificates.ts';
import { type MemberSpec, type PoolSpec, uuidOf } from '../lab/xapi/model.ts';
import { XapiPool } from '../lab/xapi/pool.ts';
import type { Certificate } from '../lab/xapi/wire.ts';
import type { ComplianceWorld } from './suite.ts';

const MIB = 1024 ** 2;
const VM = { name: 'shop', uuid: uuidOf('vm', 'shop') };
export const PASSWORD = 'correct horse';
/** With less patience for a pool that does not answer. */
export const plugin = createXenPlugin({ settleMs: 4_000, quietMs: 500 });
let worlds = 0;

/** @param network second and third byte of the addresses, so that several worlds do not meet */
function specOf(name: string, network: string, vms: PoolSpec['vms']): PoolSpec {
  return {
    name,
    login: { username: 'root', password: PASSWORD },
    members: [1, 2].map((i) => ({
      name: `${name}-${i}`,
      management: `127.${network}.${10 + i}`,
      migration: `127.${network}.${20 + i}`,
    })),
    guestNetworks: ['lan'],
    storage: [{ name: `storage of ${name}` }],
    vms,
  };
}

/** Pools listen at port 443 of loopback addresses: test files that run side by side need other addresses each. */
const OWN_OCTET = 2 + 2 * (process.pid % 120);

export class XenWorld implements ComplianceWorld {
  readonly vm = { id: VM.uuid, name: VM.name };
  readonly source: XapiPool;
  readonly destination: XapiPool;
  readonly #directory = mkdtempSync(join(tmpdir(), 'lmas-xen-'));
  readonly #alive = new Set<EndpointSession>();
  #ca: CertificateAuthority | undefined;
  #most = 1;
  #reachable = true;

  private constructor(source: XapiPool, destination: XapiPool) {
    this.source = source;
    this.destination = destination;
    for (const pool of [source, destination]) {
      pool.onGuest = () => {
        this.#most = Math.max(this.#most, source.running().length + destination.running().length);
      };
    }
  }

  /**
   * @param changes of the pools, e.g. `httpsOnly`
   * @param signed members show certificates that the world's CA has signed for these names, and not their own
   */
  static async make(
    changes: Partial<PoolSpec> = {},
    signed?: (member: MemberSpec) => readonly string[],
  ): Promise<XenWorld> {
    worlds = (worlds + 1) % 100;
    const disks = [{ sizeBytes: 8 * MIB }, { sizeBytes: 4 * MIB }];
    const source = new XapiPool({
      ...specOf('alpha', `${OWN_OCTET}.${worlds}`, [{ ...VM, memoryBytes: 48 * MIB, disks }]),
      ...changes,
    });
    const destination = new XapiPool({ ...specOf('beta', `${OWN_OCTET + 1}.${worlds}`, []), ...changes });
    await using made = new AsyncDisposableStack();
    const world = made.use(new XenWorld(source, destination));
    const certificateFor = signed === undefined ? undefined : world.#signer(signed);
    for (const pool of [source, destination]) {
      await pool.start(certificateFor ?? ((member) => certificateOf(world.#directory, member)));
    }
    made.move();
    return world;
  }

  #signer(namesOf: (member: MemberSpec) => readonly string[]): (member: string) => Certificate {
    this.#ca = new CertificateAuthority(this.#directory);
    const members = [this.source, this.destination].flatMap((pool) => pool.members);
    const shown = new Map<string, Certificate>(
      members.map((member) => [member.name, this.ca.certificateFor(member.name, namesOf(member))]),
    );
    return (name) => shown.get(name) ?? certificateOf(this.#directory, name);
  }

  /** Of a world whose members show certificates that it has signed. */
  get ca(): CertificateAuthority {
    if (this.#ca === undefined) throw new Error('no CA has signed anything in this world');
    return this.#ca;
  }

  async connect(): Promise<{ source: EndpointSession; destination: EndpointSession }> {
    const [source, destination] = await Promise.all([this.session(this.source), this.session(this.destination)]);
    return { source, destination };
  }

  /**
   * @param pinned the member whose certificate alone is trusted; default: every member of that pool
   * @param hosts members that the endpoint stands for; none: all
   * @param more settings
   */
  async session(
    pool: XapiPool,
    password = PASSWORD,
    pinned?: string,
    hosts: readonly string[] = [],
    more: object = {},
  ): Promise<EndpointSession> {
    const config = this.#config(pool, pinned, hosts, more);
    const silent = () => undefined;
    const log = { debug: silent, info: silent, warn: silent, error: silent };
    const credential = { kind: 'password', username: 'root', password } as const;
    const session = await plugin.connect(config, { log, credential }, { signal: AbortSignal.timeout(20_000) });
    this.#alive.add(session);
    return session;
  }

  /** What stands for a pool that could not be connected to. */
  standIn(pool: XapiPool, reason: Error, hosts: readonly string[] = []): EndpointSession {
    const session = plugin.unreachable?.(this.#config(pool, undefined, hosts), reason);
    if (session === undefined) throw new Error('the plugin has no stand-in');
    return session;
  }

  #config(pool: XapiPool, pinned?: string, hosts: readonly string[] = [], more: object = {}) {
    return plugin.configSchema.parse({
      host: pool.spec.members[0]?.management,
      tlsFingerprints: (pinned === undefined ? pool.spec.members.map(({ name }) => name) : [pinned]).map((name) =>
        this.fingerprintOf(name),
      ),
      migrationNetwork: 'migration',
      hosts,
      ...more,
    });
  }

  /** What an operator pins of a member. */
  fingerprintOf(member: string): string {
    return certificateOf(this.#directory, member).fingerprint;
  }

  runningCopies() {
    return {
      source: this.source.running().includes(VM.uuid),
      destination: this.destination.running().includes(VM.uuid),
    };
  }

  maxRunningCopies(): number {
    return this.#most;
  }

  killOrchestrator(): void {
    for (const session of this.#alive) session.close().catch(() => undefined);
    this.#alive.clear();
  }

  setDestinationReachable(reachable: boolean): void {
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    this.destination.setDeaf(!reachable);
  }

  whilePerforming(action: () => void): void {
    this.source.faults.onStage = (stage) => {
      if (stage !== 'memory') return;
      this.source.faults.onStage = undefined;
      action();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#alive) await session.close();
    await Promise.all([this.source.stop(), this.destination.stop()]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
