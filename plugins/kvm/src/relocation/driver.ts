/**
 * The verbs of one relocation: a VM that is off moves, with what the destination lacks of its disks.
 *
 *   prepare   it does not start with the source host any more; disks.ts
 *   copy      disks.ts; nothing where both hosts see all of them
 *   place     place.ts
 *
 * Invariant: of the VM nothing is changed at the source but whether it starts with its host, until its definition goes. Whatever is made
 * is in the journal first. Without memory of before: what is held says for which relocation it is.
 */
import {
  type CheckReport,
  type ConfirmReport,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type RelocatedPresence,
  type RelocationDriver,
  type RelocationPlacement,
  type RelocationRequest,
  type Routes,
  whereRelocated,
} from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { dropKey } from '../drill/key.ts';
import { stopReceivers } from '../drill/receiver.ts';
import { toPluginError } from '../errors.ts';
import { statFile } from '../files.ts';
import { AUTOSTART, setAutostart, suspendAutostart } from '../migration/autostart.ts';
import type { Ends } from '../migration/settle.ts';
import { look } from '../migration/sighting.ts';
import { releaseVolume } from '../volumes.ts';
import { checkRelocation } from './check.ts';
import { awaitDisks, copyDisks, KEY, keyDirectories } from './disks.ts';
import { formerPath, removeArriving } from './firmware.ts';
import {
  assertAsPrepared,
  assertRests,
  DEFINITION,
  dropHeld,
  holderOf,
  holdThere,
  leaveSource,
  letGoThere,
  lookOrThrow,
} from './place.ts';
import { makeRelocationPlan, parseRelocationState, type RelocationState } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

export class KvmRelocation implements RelocationDriver {
  readonly #ends: Ends;
  readonly #request: RelocationRequest<KvmOptions>;
  readonly #context: MigrationContext;

  constructor(ends: Ends, request: RelocationRequest<KvmOptions>, context: MigrationContext) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
  }

  get #placing() {
    return { ends: this.#ends, request: this.#request, context: this.#context };
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      return await checkRelocation(this.#ends, this.#request, { signal });
    } catch (error) {
      throw toPluginError(error, 'checking the relocation');
    }
  }

  async prepare({ signal }: Options): Promise<Prepared> {
    const { source } = this.#ends;
    try {
      await this.#context.assertCurrent();
      const plan = await makeRelocationPlan(this.#ends, this.#request, { signal });
      assertRests(await lookOrThrow(this.#ends, this.#request.vm.id, 'source', { signal }));
      const there = await lookOrThrow(this.#ends, this.#request.vm.id, 'destination', { signal });
      if (there.presence !== 'absent')
        throw new PluginError('NOT_MIGRATABLE', `The destination knows this VM already (${there.presence}).`);
      if (plan.autostart) await suspendAutostart(source, plan.domain, this.#context, { signal });
      const { flows, disks } = await awaitDisks(this.#placing, plan, { signal });
      const state: RelocationState = {
        ...{ domainName: plan.domain.name, autostart: plan.autostart, nvram: plan.nvram ?? null, disks },
      };
      const atSource = { keptAtSource: keptOf(state), sourceDefinition: plan.sourceXml };
      return { flows, sourceAddresses: [source.config.migrationAddress], state, atSource };
    } catch (error) {
      throw toPluginError(error, 'preparing the relocation');
    }
  }

  async copy(
    prepared: Prepared,
    routes: Routes,
    options: Options & { onProgress: (progress: MigrationProgress) => void; onWork?: () => void },
  ): Promise<void> {
    const state = parseRelocationState(prepared.state);
    try {
      await this.#context.assertCurrent();
      await copyDisks(this.#placing, state, routes, options);
    } catch (error) {
      if (options.signal.aborted) throw new PluginError('ABORTED', 'The copying was stopped.', { cause: error });
      throw toPluginError(error, 'copying the disks');
    }
  }

  async place(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    const state = parseRelocationState(prepared.state);
    // Whoever goes on once the source has let go cannot read it there any more.
    let sourceDefinition = prepared.atSource?.sourceDefinition ?? null;
    try {
      const here = await lookOrThrow(this.#ends, this.#request.vm.id, 'source', { signal });
      if (here.presence !== 'absent') {
        assertRests(here);
        const plan = await makeRelocationPlan(this.#ends, this.#request, { signal });
        assertAsPrepared(plan, state);
        sourceDefinition = plan.sourceXml;
        const variables = await holdThere(this.#placing, plan, { signal });
        await leaveSource(this.#placing, state, variables, { signal });
      }
      await letGoThere(this.#placing, state, { signal });
      return await this.#report(state, sourceDefinition, signal);
    } catch (error) {
      throw toPluginError(error, 'placing the VM');
    }
  }

  async #report(state: RelocationState, sourceDefinition: string | null, signal: AbortSignal): Promise<ConfirmReport> {
    const { nvram } = state;
    const former = nvram === null ? null : formerPath(nvram, this.#request.migrationId);
    const isKept = former !== null && (await statFile(this.#ends.destination.transport, former, { signal })) !== null;
    return {
      ...{ downtimeMs: null, bytesTransferred: null, iterations: null, sourceDefinition },
      keptAtSource: keptOf(state),
      warnings: isKept
        ? [`The destination had UEFI variables at ${nvram} that no VM there uses: they are kept as ${former}.`]
        : [],
    };
  }

  async locate({ signal }: Options): Promise<RelocationPlacement> {
    const [source, destination] = await Promise.all([
      look(this.#ends.source, this.#request.vm.id, 'source', { signal }).then(({ presence }) => presence),
      this.#lookThere(signal),
    ]);
    return { source, destination, where: whereRelocated(source, destination) };
  }

  /** What is held for another relocation is somebody else's. */
  async #lookThere(signal: AbortSignal): Promise<RelocatedPresence> {
    const seen = await look(this.#ends.destination, this.#request.vm.id, 'destination', { signal });
    try {
      const holder = await holderOf(this.#ends.destination, seen, { signal });
      return holder === this.#request.migrationId ? 'held' : seen.presence;
    } catch {
      return 'unreachable';
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    const { ends, request, context } = this.#placing;
    try {
      await context.assertCurrent();
      switch (resource.kind) {
        case AUTOSTART:
          return await this.#resumeAutostart(signal);
        case DEFINITION:
          return await dropHeld(this.#placing, resource, { signal });
        case 'receiver':
          assertOwn(resource.id === keyDirectories(request).destination, resource);
          return await stopReceivers(ends.destination, resource.id, { signal, keepData: false });
        case 'volume':
          return await releaseVolume(ends.destination, resource, request.vm.id, context, { signal });
        case KEY:
          assertOwn(resource.id === keyDirectories(request).source, resource);
          return await dropKey(ends.source.transport, resource.id, { signal });
        case 'firmware':
          return await removeArriving(ends.destination, resource, request.migrationId, context, { signal });
        default:
          throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
      }
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.id}`);
    }
  }

  /** What the destination has is held: only the VM here can start. One that is gone needs nothing. */
  async #resumeAutostart(signal: AbortSignal): Promise<void> {
    const { domain } = await lookOrThrow(this.#ends, this.#request.vm.id, 'source', { signal });
    if (domain === undefined) return;
    await setAutostart(this.#ends.source, domain, true, { signal });
  }
}

const keptOf = ({ disks, nvram }: RelocationState): ConfirmReport['keptAtSource'] => [
  ...disks.map(({ from }) => ({ kind: 'disk', id: from })),
  ...(nvram === null ? [] : [{ kind: 'nvram', id: nvram }]),
];

function assertOwn(isOwn: boolean, { kind, id }: PluginResource): void {
  if (!isOwn) throw new PluginError('INVALID_CONFIG', `${id} is no ${kind} of this relocation.`);
}
