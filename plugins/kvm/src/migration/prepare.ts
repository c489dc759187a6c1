/**
 * From a request to a destination that waits: looks once more, makes the missing volumes, and prepares a run of either
 * mode. On failure the run is undone; what was made or set at the hosts is in the journal.
 */
import {
  type Flow,
  type MigrationContext,
  type MigrationRequest,
  PluginError,
  type PluginErrorCode,
  type Prepared,
} from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { toPluginError } from '../errors.ts';
import type { Domain } from '../rpc/procedures.ts';
import { createMissingVolumes } from '../volumes.ts';
import { leftAtSource, leftToTheEnd } from './arrival.ts';
import { setAutostart, suspendAutostart } from './autostart.ts';
import { type ConvergenceSettings, convergenceSettings } from './convergence.ts';
import { DirectRun, type RunSettings } from './direct.ts';
import { commonParams, migrationFlags, RESUME_FLAGS } from './parameters.ts';
import { PeerToPeerRun } from './peer-to-peer.ts';
import { makePlan, mappedDefinitions, type Plan } from './plan.ts';
import { type Ends, lookAtBoth } from './settle.ts';
import type { RunState, StoredState } from './state.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface PreparedRun {
  readonly run: DirectRun | PeerToPeerRun;
  readonly prepared: Prepared;
  readonly plan: Plan;
}

export const policyOf = ({ convergence, maxDowntimeMs, options }: MigrationRequest<KvmOptions>): ConvergenceSettings =>
  convergenceSettings(convergence, { autoConverge: options.autoConverge, maxDowntimeMs });

/** @throws PluginError NOT_MIGRATABLE, BUSY, SUPERSEDED, and whatever the daemons and connections say */
export async function prepareRun(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<PreparedRun> {
  await context.assertCurrent();
  const plan = await makePlan(ends.source, ends.destination, request, { signal });
  await assertFree(ends, request.vm.id, { signal });
  const { maxDowntimeMs } = policyOf(request);
  const createdVolumes = await createMissingVolumes(ends, request, plan.copied, context, { signal });
  if (maxDowntimeMs !== null) await setMaxDowntime(ends, plan, maxDowntimeMs, context, { signal });
  const settings = await runSettings(ends, request, context, plan, { signal });
  if (plan.autostart) await suspendAutostart(ends.source, plan.domain, context, { signal });
  const { run, flows } = await startRun(settings, request, plan, { signal }).catch((error: unknown) =>
    refused(error, ends, plan, context, { signal }),
  );
  const stored: StoredState = {
    domainName: plan.domain.name,
    nvram: plan.definition.nvram ?? null,
    autostart: plan.autostart,
    keptDisks: plan.copied.map(({ from }) => from),
    createdVolumes,
  };
  const state: RunState = { ...stored, sourceDefinition: plan.sourceXml };
  const sourceAddresses = [ends.source.config.migrationAddress];
  const atSource = { ...leftAtSource(state, request.options), warnings: leftToTheEnd(state, request.options) };
  // Peer to peer, libvirt lets the guest go by itself, and we hear of it once `perform` is over.
  const onlyConfirmLetsGo = request.options.mode === 'direct';
  return { run, prepared: { flows, sourceAddresses, state: stored, onlyConfirmLetsGo, atSource }, plan };
}

async function startRun(
  settings: RunSettings,
  { options }: MigrationRequest<KvmOptions>,
  plan: Plan,
  { signal }: Options,
): Promise<{ run: DirectRun | PeerToPeerRun; flows: readonly Flow[] }> {
  const streams = { memory: 1 + options.parallelConnections, disks: plan.copied.length };
  if (options.mode === 'peer-to-peer') return PeerToPeerRun.prepare(settings, streams);
  const { run, memory, disks } = await DirectRun.prepare(settings, { signal });
  const flows: Flow[] = [{ id: 'memory', ...memory, maxStreams: streams.memory, priority: 'bulk' }];
  if (disks !== undefined) flows.push({ id: 'disks', ...disks, maxStreams: streams.disks, priority: 'bulk' });
  return { run, flows };
}

/** With these the contract promises that nothing of the VM was touched. */
const NOT_TO_BE_HAD: ReadonlySet<PluginErrorCode> = new Set(['BUSY', 'NOT_MIGRATABLE'] as const);

/** Puts back what was set before, so that whoever tries again reads the VM as it was. @throws always; SUPERSEDED as it is */
async function refused(
  error: unknown,
  { source }: Ends,
  { autostart, domain }: Plan,
  context: MigrationContext,
  { signal }: Options,
): Promise<never> {
  const refusal = toPluginError(error, 'preparing the migration');
  if (!autostart || !NOT_TO_BE_HAD.has(refusal.code)) throw refusal;
  // Outside: a run that was taken over is told that, and nothing of the hypervisor.
  await context.assertCurrent();
  try {
    await setAutostart(source, domain, true, { signal });
  } catch (cause) {
    context.log.warn({ err: cause }, 'the VM could not be set to start with its host again');
    // The VM is not as it was: who called has to settle and to release.
    throw new PluginError('HYPERVISOR_FAULT', refusal.message, { cause: refusal });
  }
  throw refusal;
}

async function runSettings(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  plan: Plan,
  { signal }: Options,
): Promise<RunSettings> {
  const { options, bandwidthBytesPerSec } = request;
  const { throttling } = policyOf(request);
  const copiesDisks = plan.copied.length > 0;
  const libvirtVersion = await commonVersion(ends, { signal });
  const definitions = await mappedDefinitions(ends.source, plan, { signal });
  const copiedDisks = plan.copied.map(({ name }) => name);
  return {
    source: ends.source,
    destination: ends.destination,
    domain: plan.domain,
    flags: migrationFlags(options, { copiesDisks, vouched: plan.vouched, libvirtVersion, throttling }),
    common: commonParams({ options, throttling, bandwidthBytesPerSec, copiedDisks, definitions }),
    copiesDisks,
    postCopyAfterPasses: options.postCopy ? options.postCopyAfterPasses : null,
    assertCurrent: () => context.assertCurrent(),
  };
}

/** What a recovery of post-copy needs, in a process that has not prepared it: the guest and its disks are there already. */
export function resumeSettings(
  { source, destination }: Ends,
  { options, bandwidthBytesPerSec }: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  domain: Domain,
): RunSettings {
  return {
    ...{ source, destination, domain, flags: RESUME_FLAGS, copiesDisks: false, postCopyAfterPasses: null },
    common: commonParams({
      ...{ options, bandwidthBytesPerSec, copiedDisks: [] },
      ...{ throttling: undefined, definitions: undefined },
    }),
    assertCurrent: () => context.assertCurrent(),
  };
}

/** A VM of this id that is known at the destination already must not be taken for one that arrived. */
async function assertFree(ends: Ends, uuid: string, { signal }: Options): Promise<void> {
  const { source, destination } = await lookAtBoth(ends, uuid, { signal });
  if (source.presence === 'unreachable') throw toPluginError(source.error, 'looking at the source');
  if (destination.presence === 'unreachable') throw toPluginError(destination.error, 'looking at the destination');
  if (source.moving || source.foreignJob)
    throw new PluginError('BUSY', 'The VM has a migration or another job under way.');
  if (source.presence !== 'running') {
    throw new PluginError('NOT_MIGRATABLE', `The VM is ${source.presence} at the source; it has to run.`);
  }
  if (destination.presence !== 'absent') {
    throw new PluginError('NOT_MIGRATABLE', `The destination knows this VM already (${destination.presence}).`, {
      remedy: 'If that definition is a leftover, undefine it there (virsh undefine --keep-nvram).',
    });
  }
}

/** Before it begins, and while it runs. */
export async function setMaxDowntime(
  { source }: Ends,
  { domain }: { readonly domain: Domain },
  downtimeMs: number,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const client = await source.query({ signal });
  await context.assertCurrent();
  const args = { domain, downtimeMs: BigInt(Math.round(downtimeMs)), flags: 0 };
  await client.call('domainMigrateSetMaxDowntime', args, { signal });
}

/** The older of the two: what both understand. */
async function commonVersion({ source, destination }: Ends, { signal }: Options): Promise<number> {
  const clients = await Promise.all([source.query({ signal }), destination.query({ signal })]);
  return Math.min(...(await Promise.all(clients.map((client) => client.libvirtVersion({ signal })))));
}
