/**
 * After the guest was let go at the destination: takes from the source what could run, in an order that never leaves two,
 * and tells what was found and what was kept.
 */
import { type ConfirmReport, type MigrationContext, type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { isFault, toPluginError } from '../errors.ts';
import { ERROR } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
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
  /** Why the definition at the source had to stay; `null` when it is gone, or was to stay. */
  readonly notRemoved?: string | null;
}

const CLEAR_ATTEMPTS = 5;
const CLEAR_INTERVAL_MS = 300;

/**
 * Destroys the copy that stands still at the source and, if asked for, removes its definition. Idempotent.
 * @returns what the daemon had against the latter, in words, or `null`: nothing runs there, so that is no failure any more
 * @throws PluginError OUTCOME_UNKNOWN when the source runs too, or what is paused there is not what the migration has left; CONNECTION_LOST or UNREACHABLE when it cannot be asked:
 * the guest there stands still, and this may be called again
 */
export async function clearSource(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<string | null> {
  for (let attempt = 1; ; attempt += 1) {
    const source = await look(ends.source, request.vm.id, 'source', { signal });
    if (source.presence === 'absent') return null;
    if (source.presence === 'stopped') {
      const refusal = await settleDefinitionHere(ends.source, source, request, context, { signal });
      if (refusal === null || attempt > CLEAR_ATTEMPTS) return refusal;
      await pause(CLEAR_INTERVAL_MS, signal);
      continue;
    }
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

/** Only what a migration has left standing, and only while the destination is seen to hold the guest. */
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
  // Peer to peer libvirt may have let both run: a copy that somebody, or an error, has stopped since may hold the data that counts.
  if (!source.pausedByMigration) throw pausedByOthers();
  await context.assertCurrent();
  const client = await ends.source.query({ signal });
  try {
    await client.call('domainDestroy', { domain: source.domain }, { signal });
  } catch (error) {
    // Gone meanwhile, or busy: the next look tells.
    if (!isFault(error)) throw toPluginError(error, 'destroying the paused copy at the source');
  }
}

function pausedByOthers(): PluginError {
  return new PluginError(
    'OUTCOME_UNKNOWN',
    'The source holds a paused copy of the VM that no migration has left there.',
    {
      remedy:
        'Nothing was destroyed. It may have run since the migration: find out which copy holds the data that counts (virsh domstate --reason), then destroy the other one by hand.',
    },
  );
}

function stillNeeded(): PluginError {
  return new PluginError('OUTCOME_UNKNOWN', 'Part of the memory of the VM is still at the source.', {
    remedy: 'Nothing was destroyed. Let the post-copy migration end, or recover it (virsh migrate --postcopy-resume).',
  });
}

/** Of a VM that is off here and has arrived there. @returns what the daemon had against it */
async function settleDefinitionHere(
  session: KvmSession,
  { domain }: Pick<Sighting, 'domain'>,
  { options }: MigrationRequest<KvmOptions>,
  context: MigrationContext,
  { signal }: Options,
): Promise<string | null> {
  if (domain === undefined) return null;
  await context.assertCurrent();
  try {
    if (options.undefineAtSource) await undefine(session, domain, { signal });
    // One that stays must not come to life when the host is started the next time; somebody may have set it since.
    else await setAutostart(session, domain, false, { signal });
    return null;
  } catch (error) {
    if (isFault(error, ERROR.NO_DOMAIN)) return null;
    const doing = options.undefineAtSource
      ? 'removing the definition at the source'
      : 'keeping the VM at the source from starting with its host';
    const translated = toPluginError(error, doing);
    if (isFault(error)) return translated.message;
    throw translated;
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
    const refusal = await settleDefinitionThere(ends.destination, destination.domain, options, state, { signal });
    if (refusal !== null) warnings.push(refusal);
  }
  const { keptAtSource, sourceDefinition } = leftAtSource(state, options);
  const kept = [...keptAtSource];
  if (arrival.notRemoved) {
    warnings.push(`${arrival.notRemoved}. Never start the VM there; see to its definition by hand (virsh undefine).`);
    if (options.undefineAtSource) kept.push(definitionOf(state));
  }
  return { ...stats, keptAtSource: kept, sourceDefinition, warnings };
}

/**
 * The source cannot be tidied, perhaps never again. That the VM starts with its host where it is now does not wait for it; all else does,
 * as a definition is the proof of an arrival. Never fails: who tidies the source does it again.
 */
export async function startWithHostThere(
  { destination }: Ends,
  { vm, options }: MigrationRequest<KvmOptions>,
  state: RunState,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  if (!state.autostart || !options.persistAtDestination) return;
  try {
    const { presence, domain } = await look(destination, vm.id, 'destination', { signal });
    if (presence !== 'running' || domain === undefined) return;
    await context.assertCurrent();
    const refusal = await settleDefinitionThere(destination, domain, options, state, { signal });
    if (refusal !== null) context.log.warn({ refusal }, 'the destination could not be settled');
  } catch (error) {
    context.log.warn({ err: error }, 'the destination could not be settled');
  }
}

/** What of the destination is settled last, or only as far as it went: for a person, where the source never answers again. */
export function leftToTheEnd(
  { domainName, autostart }: RunState,
  { persistAtDestination }: Pick<KvmOptions, 'persistAtDestination'>,
): string[] {
  if (!persistAtDestination) {
    return [
      `At the destination VM ${domainName} keeps a definition, which was not wanted, until the source has been tidied. If that is gone for good, remove it (virsh undefine --keep-nvram ${domainName}).`,
    ];
  }
  if (!autostart) return [];
  return [`Look whether VM ${domainName} starts with its host at the destination (virsh autostart ${domainName}).`];
}

/** Whether the VM outlives its next shutdown, and the next start of its host. @returns what is not as it was asked for */
async function settleDefinitionThere(
  session: KvmSession,
  domain: Domain,
  { persistAtDestination }: KvmOptions,
  { autostart }: RunState,
  { signal }: Options,
): Promise<string | null> {
  try {
    const client = await session.query({ signal });
    if (!(await client.isPersistent(domain, { signal }))) {
      if (!persistAtDestination) return null;
      return 'The VM is not defined at the destination: it will be gone when it is shut down.';
    }
    if (!persistAtDestination) await undefine(session, domain, { signal });
    else if (autostart) await setAutostart(session, domain, true, { signal });
    return null;
  } catch (error) {
    if (!isFault(error)) throw error;
    const wish = persistAtDestination ? 'starts with its host (virsh autostart)' : 'is forgotten when it is shut down';
    return `At the destination it could not be seen to that the VM ${wish}: ${error.message}.`;
  }
}

const definitionOf = ({ domainName }: RunState) => ({ kind: 'definition', id: domainName });

/** What stays at the source on purpose, and the definition that it had. */
export function leftAtSource(
  state: RunState,
  { undefineAtSource }: Pick<KvmOptions, 'undefineAtSource'>,
): Pick<ConfirmReport, 'keptAtSource' | 'sourceDefinition'> {
  const keptAtSource = state.keptDisks.map((id) => ({ kind: 'disk', id }));
  if (state.nvram !== null) keptAtSource.push({ kind: 'nvram', id: state.nvram });
  if (!undefineAtSource) keptAtSource.push(definitionOf(state));
  return { keptAtSource, sourceDefinition: state.sourceDefinition };
}
