/**
 * The verbs of one drill. A copy of the running VM is made at the destination from its disks at one moment, started on isolated
 * networks, and taken away again.
 *
 *   prepare   files at the destination → what receives them → a backup at the source, which begins last: the VM is under it
 *             for no longer than the disks take to cross
 *   copy      qemu-img at the source host, disk by disk; then what listened is closed
 *   start     a transient domain
 *
 * Invariant: of the VM nothing is called but questions, the beginning of a backup, and the end of that very backup. Whatever is
 * made is in the journal first. Without memory of before: all names come from the record (names.ts).
 */
import {
  type CheckReport,
  type DrillCopy,
  type DrillDriver,
  type DrillRequest,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
} from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { toPluginError } from '../errors.ts';
import { imageInfo, wholeSectors } from '../files.ts';
import { look } from '../migration/sighting.ts';
import { createVolume, releaseVolume } from '../volumes.ts';
import { beginBackup, endBackup } from './backup.ts';
import { checkDrill } from './check.ts';
import { copyRuns, endCopy, startCopy } from './copy.ts';
import { copyDefinition, nvramOf } from './definition.ts';
import { copyNvram, nvramPath, removeNvram } from './firmware.ts';
import { makeKey } from './key.ts';
import { type DrillNames, drillNames, isOwnFile } from './names.ts';
import { assertStillIsolated, wireOrRefuse } from './networks.ts';
import { backupXml, type DrillPlan, type Ends, makeDrillPlan, type PlannedDisk } from './plan.ts';
import { startReceivers, stopReceivers } from './receiver.ts';
import { type DrillState, parseDrillState } from './state.ts';
import { transfer } from './transfer.ts';

interface Options {
  readonly signal: AbortSignal;
}

export class KvmDrill implements DrillDriver {
  readonly #ends: Ends;
  readonly #request: DrillRequest<KvmOptions>;
  readonly #context: MigrationContext;
  readonly #names: DrillNames;

  constructor(ends: Ends, request: DrillRequest<KvmOptions>, context: MigrationContext) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#names = drillNames(request.migrationId, request.vm.name);
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      return await checkDrill(this.#ends, this.#request, { signal });
    } catch (error) {
      throw toPluginError(error, 'checking the drill');
    }
  }

  async prepare({ signal }: Options): Promise<Prepared> {
    try {
      await this.#context.assertCurrent();
      const plan = await makeDrillPlan(this.#ends, this.#request, { signal });
      await this.#assertFree(plan, signal);
      const { targets } = await wireOrRefuse(this.#ends.destination, plan.definition, this.#request, { signal });
      const disks = await this.#makeVolumes(plan, signal);
      const nvram = await this.#makeNvram(plan, signal);
      const { migrationId, vm } = this.#request;
      const files = Object.fromEntries(disks.map(({ name, to, format }) => [name, { path: to, format }]));
      const settings = { names: plan.names, migrationId, vmId: vm.id, disks: files, networks: targets, nvram };
      const { xml } = copyDefinition(plan.xml, settings);
      const key = makeKey();
      const { source, destination } = this.#ends;
      const flows = await startReceivers(destination, plan.names, plan.disks, key, this.#context, { signal });
      const socket = await beginBackup(source, plan, key, this.#context, { signal });
      const state: DrillState = {
        ...{ definition: xml, disks, socket, keyDirectory: plan.names.keyDirectory.source },
        networks: [...new Set(Object.values(targets).map(({ name }) => name))],
      };
      return { flows, sourceAddresses: [source.config.migrationAddress], state: { ...state } };
    } catch (error) {
      throw toPluginError(error, 'preparing the drill');
    }
  }

  async copy(
    prepared: Prepared,
    routes: Routes,
    { signal, ...told }: Options & { onProgress: (progress: MigrationProgress) => void; onWork?: () => void },
  ): Promise<void> {
    const state = parseDrillState(prepared.state);
    const { source, destination } = this.#ends;
    try {
      await this.#context.assertCurrent();
      const limit = this.#request.bandwidthBytesPerSec;
      await transfer(source, state, routes, limit, { signal, ...told });
      await this.#context.assertCurrent();
      await stopReceivers(destination, this.#names.keyDirectory.destination, { signal, keepData: true });
      for (const { to, format, capacityBytes } of state.disks) {
        const seen = await imageInfo(destination.transport, to, format, { signal });
        if (seen.capacityBytes === capacityBytes) continue;
        throw new PluginError('HYPERVISOR_FAULT', `${to} has ${seen.capacityBytes} bytes instead of ${capacityBytes}.`);
      }
    } catch (error) {
      if (signal.aborted) throw new PluginError('ABORTED', 'The copying was stopped.', { cause: error });
      throw toPluginError(error, 'copying the disks');
    }
  }

  async start(prepared: Prepared, { signal }: Options): Promise<DrillCopy> {
    const state = parseDrillState(prepared.state);
    const { destination } = this.#ends;
    try {
      await assertStillIsolated(destination, state.networks, { signal });
      const { name } = await startCopy(destination, this.#names, state.definition, this.#context, { signal });
      if (!(await copyRuns(destination, this.#names, { signal }))) {
        throw new PluginError('HYPERVISOR_FAULT', `The copy ${name} ended as soon as it was started.`, {
          remedy: `Its log is at the destination: /var/log/libvirt/qemu/${name}.log.`,
        });
      }
      const disks = state.disks.map((disk) => ({ name: disk.name, location: disk.to }));
      const vm = { id: this.#names.uuid, name };
      return { vm, networks: state.networks, disks, startedAt: new Date().toISOString() };
    } catch (error) {
      throw toPluginError(error, 'starting the copy');
    }
  }

  async isRunning({ signal }: Options): Promise<boolean> {
    try {
      return await copyRuns(this.#ends.destination, this.#names, { signal });
    } catch (error) {
      throw toPluginError(error, 'looking at the copy');
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    try {
      await this.#context.assertCurrent();
      await this.#release(resource, signal);
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.id}`);
    }
  }

  async #release(resource: PluginResource, signal: AbortSignal): Promise<void> {
    const { source, destination } = this.#ends;
    switch (resource.kind) {
      case 'backup':
        return endBackup(source, resource, this.#names, this.#context, { signal });
      case 'receiver':
        assertOwn(resource.id === this.#names.keyDirectory.destination, resource);
        return stopReceivers(destination, resource.id, { signal, keepData: false });
      case 'volume':
        assertOwn(isOwnFile(this.#names, resource.id), resource);
        return releaseVolume(destination, resource, this.#names.uuid, this.#context, { signal });
      case 'firmware':
        return removeNvram(destination, resource, this.#names, this.#context, { signal });
      case 'copy':
        return endCopy(destination, resource, this.#names, this.#request.migrationId, this.#context, { signal });
      default:
        throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
    }
  }

  /** Looked at again, since the checks may be long ago. */
  async #assertFree({ domain }: DrillPlan, signal: AbortSignal): Promise<void> {
    const { source } = this.#ends;
    const seen = await look(source, this.#request.vm.id, 'source', { signal });
    if (seen.presence === 'unreachable') throw toPluginError(seen.error, 'looking at the source');
    if (seen.presence !== 'running') {
      throw new PluginError('NOT_MIGRATABLE', `The VM is ${seen.presence} at the source; it has to run.`);
    }
    if (!seen.moving && !seen.foreignJob && (await backupXml(source, domain, { signal })) === null) return;
    throw new PluginError('BUSY', 'The VM has a migration, a backup or another job under way.', {
      remedy: 'If that is another drill, wait until it has started its copy, or cancel it.',
    });
  }

  async #makeVolumes(plan: DrillPlan, signal: AbortSignal): Promise<DrillState['disks']> {
    const disks = plan.disks.map((disk) => ({ ...disk, capacityBytes: sizeOf(disk) }));
    for (const disk of disks) {
      const byHand = `At the destination host, once the copy is gone, remove ${disk.to}.`;
      const volume = { ...disk, byHand };
      await createVolume(this.#ends.destination, this.#request.migrationId, volume, this.#context, { signal });
    }
    return disks.map(({ name, via, from, fromFormat, to, format, capacityBytes, heldBytes }) => {
      return { name, via, from, fromFormat, to, format, capacityBytes, bytes: heldBytes, isOverwritten: false };
    });
  }

  async #makeNvram(plan: DrillPlan, signal: AbortSignal): Promise<string | undefined> {
    const from = nvramOf(plan.xml);
    if (from === undefined) return undefined;
    await copyNvram(this.#ends, from, nvramPath(plan), this.#context, { signal });
    return nvramPath(plan);
  }
}

function assertOwn(isOwn: boolean, { kind, id }: PluginResource): void {
  if (!isOwn) throw new PluginError('INVALID_CONFIG', `${id} is no ${kind} of this drill.`);
}

function sizeOf({ name, capacityBytes }: PlannedDisk): number {
  if (capacityBytes !== null) return wholeSectors(capacityBytes);
  throw new PluginError('NOT_MIGRATABLE', `The size of ${name} is unknown, so no volume can be made for it.`);
}
