/**
 * Who moves a VM from site A to site B: LMAS, and what libvirt and QEMU bring themselves, as an operator would use it
 * (virsh from a third machine, live, the definition goes along).
 */

import { run } from '../../lab/src/command.ts';
import { type Lab, LabError } from '../../lab/src/index.ts';
import type { World } from '../../support/world.ts';
import { TLS_NAME } from './qemu-tls.ts';

/** More than our pair begins with, seven subflows, of which four carry bulk: nothing that it gains is for want of streams here. */
const CHANNELS = 8;
const MOVES_WITHIN_MS = 200_000;

export interface Move {
  /** Payload that the hypervisor counted; null: it did not say. */
  readonly bytes: number | null;
  /** The most that the gateways had taken and not delivered; null without gateways. */
  readonly inFlightBytes: number | null;
}

export interface Mover {
  readonly name: string;
  readonly what: string;
  /** Returns when the VM runs at site B. @throws when it does not */
  move(world: World, vm: string, options: { maxDowntimeMs: number; signal: AbortSignal }): Promise<Move>;
}

const lmas: Mover = {
  name: 'lmas',
  what: 'through a gateway pair, AES-256-GCM',
  async move(world, vm, { maxDowntimeMs, signal }) {
    const { id } = await world.client.createMigration(
      { vm, source: 'kvm-a', destination: 'kvm-b', maxDowntimeMs },
      { signal },
    );
    let inFlightBytes = 0;
    for await (const { event } of world.client.watchMigration(id, { signal })) {
      inFlightBytes = Math.max(inFlightBytes, event.migration.tunnel?.inFlightBytes ?? 0);
    }
    const { phase, error, report, tunnel } = await world.client.getMigration(id, { signal });
    if (phase !== 'succeeded') throw new Error(`The migration has ${phase}: ${error?.message}`);
    return { bytes: report?.bytesTransferred ?? tunnel?.bytesDelivered ?? null, inFlightBytes };
  },
};

const virsh = (name: string, what: string, flags: readonly string[]): Mover => ({
  name,
  what,
  async move({ lab }, vm, { signal }) {
    const command = ['migrate', '--live', '--persistent', '--undefinesource', ...flags, vm];
    const [source, destination] = [uri(lab, 'a'), uri(lab, 'b')];
    const target = [destination, `tcp://${lab.sites.b.host.dataAddress}`];
    await run('virsh', ['-q', '-c', source, ...command, ...target], { timeoutMs: MOVES_WITHIN_MS, signal });
    const stats = await lab.vm.virsh('b', ['domjobinfo', '--completed', '--rawstats', vm]).catch((error: unknown) => {
      if (error instanceof LabError) return ''; // an older virsh cannot tell
      throw error;
    });
    const [, bytes] = /^data_processed:\s*(\d+)$/m.exec(stats) ?? [];
    return { bytes: bytes === undefined ? null : Number(bytes), inFlightBytes: null };
  },
});

function uri(lab: Lab, site: 'a' | 'b'): string {
  return `qemu:///system?socket=${lab.sites[site].host.path('/run/libvirt/libvirt-sock')}`;
}

const PARALLEL = ['--parallel', '--parallel-connections', String(CHANNELS)];
const TLS = ['--tls', '--tls-destination', TLS_NAME];

export const MOVERS: readonly Mover[] = [
  lmas,
  virsh('direct', 'virsh migrate, one TCP stream in the clear', []),
  virsh('multifd', `virsh migrate --parallel, ${CHANNELS} TCP streams in the clear`, PARALLEL),
  virsh('direct-tls', 'virsh migrate --tls, one TLS stream', TLS),
  virsh('multifd-tls', `virsh migrate --parallel --tls, ${CHANNELS} TLS streams`, [...PARALLEL, ...TLS]),
];
