/**
 * After the guest was let go at the destination: takes from the source what could run, in an order that never leaves two,
 * and tells what was found and what was kept.
 */
import { type ConfirmReport, type MigrationContext, type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { isFault, toPluginError } from '../errors.ts';
import { ERROR } from '../rpc/constants.ts';
import type { KvmSession } from '../session.ts';
import { setAutostart } from './autostart.ts';
import { pause } from './progress.ts';
import { type Ends, postCopyOf } from './settle.ts';
import { type CompletedStats, completedStats, look, type Sighting } from './sighting.ts';
import type { RunState } from './state.ts';
import { undefine } from './undefine.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** How we know that the destination started the guest: it said so, or was seen running it. */
export interface Arrival {
  readonly startedBy: 'answer' | 'sight';
  /** What the source told of the job, if it did. */
  readonly stats?: CompletedStats | undefined;
}

const CLEAR_ATTEMPTS = 5;
const CLEAR_INTERVAL_MS = 300;

/**
 * Destroys the copy that stands still at the source and, if asked for, removes its definition. Idempotent.
 * @throws PluginError OUTCOME_UNKNOWN when the source runs too; CONNECTION_LOST or UNREACHABLE when it cannot be asked:
 * the guest there stands still, and this may be called again
 */
export async function clearSource(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const source = await look(ends.source, request.vm.id, 'source', { signal });
    if (source.presence === 'absent') return;
    if (source.presence === 'stopped') return removeDefinition(ends.source, source, request, context, { signal });
    if (source.presence === 'unreachable') throw toPluginError(source.error, 'clearing the source');
    if (source.presence === 'running') {
      throw new PluginError('OUTCOME_UNKNOWN', 'The VM runs at the source although the destination has started it.', {
        remedy: 'Stop one of the two at once: the one whose disks and network are not in use. Nothing was destroyed.',
      });
    }
    if (attempt > CLEAR_ATTEMPTS) {
      throw new PluginError('BUSY', 'The paused copy at the source cannot be destroyed.', {
        remedy: 'The VM runs at the destination. Destroy the paused one at the source by hand (virsh destroy).',
      });
    }
    await destroyPaused(ends, source, request, context, { signal });
    await pause(CLEAR_INTERVAL_MS, signal);
  }
}

/** Only while the destination is seen to hold the guest. */
async function destroyPaused(
  ends: Ends,
  source: Sighting,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const destination = await look(ends.destination, request.vm.id, 'destination', { signal });
  const { presence } = destination;
  // In post-copy what stands still at the source is memory that the running guest lacks.
  const needed = postCopyOf({ source, destination }) !== undefined || (request.options.postCopy && source.moving);
  if (needed) throw stillNeeded();
  if (presence !== 'running' || source.domain === undefined) {
    throw new PluginError('OUTCOME_UNKNOWN', `The source holds the VM, and the destination says "${presence}".`, {
      remedy: 'Nothing was destroyed. If the VM ran at the destination, destroy the paused one at the source by hand.',
    });
  }
  await context.assertCurrent();
  const client = await ends.source.query({ signal });
  try {
    await client.call('domainDestroy', { domain: source.domain }, { signal });
  } catch (error) {
    // Gone meanwhile, or busy: the next look tells.
    if (!isFault(error)) throw toPluginError(error, 'destroying the paused copy at the source');
  }
}

function stillNeeded(): PluginError {
  return new PluginError('OUTCOME_UNKNOWN', 'Part of the memory of the VM is still at the source.', {
    remedy: 'Nothing was destroyed. Let the post-copy migration end, or recover it (virsh migrate --postcopy-resume).',
  });
}

async function removeDefinition(
  session: KvmSession,
  { domain }: Pick<Sighting, 'domain'>,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  if (domain === undefined) return;
  await context.assertCurrent();
  if (request.options.undefineAtSource) return undefine(session, domain, { signal });
  // A definition that stays must not come to life when the host is started the next time; somebody may have set it since.
  try {
    await setAutostart(session, domain, false, { signal });
  } catch (error) {
    if (!isFault(error, ERROR.NO_DOMAIN))
      throw toPluginError(error, 'keeping the old copy from starting with its host');
  }
}

/** Verifies the destination and writes the report. */
export async function report(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  state: RunState,
  arrival: Arrival,
  { signal }: Options,
): Promise<ConfirmReport> {
  const warnings: string[] = [];
  const { options } = request;
  const destination = await look(ends.destination, request.vm.id, 'destination', { signal });
  if (destination.presence !== 'running') {
    // It was let go there, so it is nowhere else: a guest may have shut itself down by now.
    if (arrival.startedBy === 'sight' && destination.presence === 'unreachable') {
      throw toPluginError(destination.error, 'verifying the destination');
    }
    warnings.push(`The destination started the VM, and now says "${destination.presence}".`);
  }
  let stats: CompletedStats = arrival.stats ?? { downtimeMs: null, bytesTransferred: null, iterations: null };
  if (destination.domain !== undefined) {
    const told = await completedStats(ends.destination, destination.domain, { signal });
    if (told.bytesTransferred !== null) stats = told;
    const client = await ends.destination.query({ signal });
    const persistent = await client.isPersistent(destination.domain, { signal });
    if (!persistent && options.persistAtDestination) {
      warnings.push('The VM is not defined at the destination: it will be gone when it is shut down.');
    }
    if (persistent && options.persistAtDestination && state.autostart) {
      await setAutostart(ends.destination, destination.domain, true, { signal });
    }
    if (persistent && !options.persistAtDestination) await undefine(ends.destination, destination.domain, { signal });
  }
  const keptAtSource = state.keptDisks.map((id) => ({ kind: 'disk', id }));
  if (state.nvram !== null) keptAtSource.push({ kind: 'nvram', id: state.nvram });
  if (!options.undefineAtSource) keptAtSource.push({ kind: 'definition', id: state.domainName });
  return { ...stats, keptAtSource, sourceDefinition: state.sourceDefinition, warnings };
}
