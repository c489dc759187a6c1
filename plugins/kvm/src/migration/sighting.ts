/**
 * Looks at one end of a migration. A look has no side effects and never throws: an end that does not answer in time is
 * `unreachable`, which is never read as `absent`.
 */
import type { Presence, VmPlacement } from '@lmas/plugin-api';
import type { DomainState, LibvirtClient } from '../client.ts';
import { type End, presenceOf } from '../presence.ts';
import { JOB, JOB_STATS, OPERATION, PAUSED, RUNNING, SHUTOFF, STATE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import { numberOf, type TypedParam } from '../rpc/typed-params.ts';
import type { KvmSession } from '../session.ts';

/** Longer than any healthy answer, shorter than a person's patience. */
const LOOK_TIMEOUT_MS = 10_000;

export type PostCopy = NonNullable<VmPlacement['postCopy']>;

export interface Sighting {
  readonly presence: Presence;
  /** The domain as the daemon named it; `undefined` when absent or unreachable. */
  readonly domain: Domain | undefined;
  readonly state: DomainState | undefined;
  /** An outgoing migration is under way here. */
  readonly moving: boolean;
  /** Another job is (backup, snapshot, dump …), or one of which the daemon does not say what it is: not ours to end. */
  readonly foreignJob: boolean;
  /** It stands still because a migration stopped it, not because somebody paused it. */
  readonly pausedByMigration: boolean;
  /** What this end says of a post-copy migration: `broken` once its streams are lost. */
  readonly postCopy: PostCopy | undefined;
  /** Why nobody answered. */
  readonly error?: unknown;
}

const NOWHERE = {
  ...{ domain: undefined, state: undefined, moving: false, foreignJob: false },
  ...{ pausedByMigration: false, postCopy: undefined },
} as const;

/** The source stands still in post-copy; the destination runs, or stands still because somebody or an error paused it. */
export function postCopyIn({ state, reason }: DomainState): PostCopy | undefined {
  const [underWay, broken] =
    state === STATE.paused ? [PAUSED.postCopy, PAUSED.postCopyFailed] : [RUNNING.postCopy, RUNNING.postCopyFailed];
  if (state !== STATE.paused && state !== STATE.running) return undefined;
  if (reason === broken) return 'broken';
  return reason === underWay ? 'under-way' : undefined;
}

/** Off because it could not be started or go on, by libvirt's own word. It is lost when the daemon is restarted. */
export const endedByFailure = ({ presence, state }: Pick<Sighting, 'presence' | 'state'>): boolean =>
  presence === 'stopped' && state?.state === STATE.shutOff && state.reason === SHUTOFF.failed;

type JobKind = 'none' | 'migration-out' | 'foreign';

async function jobOf(client: LibvirtClient, domain: Domain, signal: AbortSignal): Promise<JobKind> {
  const { type, params } = await client.jobStats(domain, 0, { signal });
  if (type !== JOB.bounded && type !== JOB.unbounded) return 'none';
  return numberOf(params, 'operation') === OPERATION.migrationOut ? 'migration-out' : 'foreign';
}

/**
 * Aborts the outgoing migration of `domain`; no other job, which belongs to somebody else. Resolves also when there is none.
 * @throws LibvirtFault, PluginError
 */
export async function abortMigration(
  client: LibvirtClient,
  domain: Domain,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if ((await jobOf(client, domain, signal)) !== 'migration-out') return;
  await client.call('domainAbortJob', { domain }, { signal });
}

export async function look(
  session: KvmSession,
  uuid: string,
  end: End,
  { signal }: { signal: AbortSignal },
): Promise<Sighting> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)]);
  try {
    const client = await session.query({ signal: patience });
    const domain = await client.lookup(uuid, { signal: patience });
    if (domain === null) return { presence: 'absent', ...NOWHERE };
    // The job first: a migration that ends in between leaves a state that is read after it.
    const job = end === 'source' && domain.id >= 0 ? await jobOf(client, domain, patience) : 'none';
    const state = await client.state(domain, { signal: patience });
    return {
      presence: presenceOf(state, domain.id, end),
      domain,
      state,
      moving: job === 'migration-out',
      foreignJob: job === 'foreign',
      pausedByMigration: state.state === STATE.paused && state.reason === PAUSED.migration,
      postCopy: postCopyIn(state),
    };
  } catch (error) {
    return { presence: 'unreachable', ...NOWHERE, error };
  }
}

export interface CompletedStats {
  readonly downtimeMs: number | null;
  readonly bytesTransferred: number | null;
  readonly iterations: number | null;
}

export function readCompleted(params: readonly TypedParam[]): CompletedStats {
  return {
    downtimeMs: numberOf(params, 'downtime') ?? null,
    bytesTransferred: numberOf(params, 'data_processed') ?? null,
    iterations: numberOf(params, 'memory_iteration') ?? null,
  };
}

/** What libvirt remembers of the migration that brought the guest here; nothing of it decides anything. */
export async function completedStats(
  session: KvmSession,
  domain: Domain,
  { signal }: { signal: AbortSignal },
): Promise<CompletedStats> {
  try {
    const client = await session.query({ signal });
    const flags = JOB_STATS.completed | JOB_STATS.keepCompleted;
    return readCompleted((await client.jobStats(domain, flags, { signal })).params);
  } catch {
    // Numbers for the report only: a daemon that was restarted has forgotten them.
    return { downtimeMs: null, bytesTransferred: null, iterations: null };
  }
}
