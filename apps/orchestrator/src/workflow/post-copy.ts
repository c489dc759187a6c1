/**
 * A migration that was found in the middle of post-copy: the guest lives at the destination, part of its memory is still
 * at the source. It is waited for, or, when its streams broke, taken up again through the gateways that are still there.
 * Invariant: nothing is confirmed, undone or cancelled before it is over; what cannot be recovered is left to a person.
 */
import { type MigrationDriver, type Prepared, pluginErrorCode, type Routes, type VmPlacement } from '@lmas/plugin-api';
import { describeError, errorCode, LmasError } from '../errors.ts';
import type { Tunnel } from '../gateways/tunnel.ts';
import type { MigrationError } from '../migrations/record.ts';
import { raceSignal } from '../time/waiting.ts';
import { type Ending, undecided } from './ending.ts';
import { ProgressReporter } from './progress.ts';
import type { Run } from './run.ts';
import { keepShare } from './share.ts';
import { straightRoutes } from './steps/connect.ts';
import type { Tools } from './tools.ts';

const ROUTES_TIMEOUT_MS = 30_000;

export interface PostCopyTrouble {
  readonly run: Run;
  readonly tools: Tools;
  readonly tunnel: Tunnel | undefined;
  /** Why this run is here. */
  readonly cause: unknown;
  /** What went wrong first. */
  readonly failure: MigrationError;
}

/** @returns `again` when both ends are to be asked again; an ending when a person has to decide */
export async function completePostCopy(
  { run, tools, tunnel, cause, failure }: PostCopyTrouble,
  driver: MigrationDriver,
  state: NonNullable<VmPlacement['postCopy']>,
  onAdvance: () => void,
): Promise<Ending | 'again'> {
  await refuseCancels(run);
  using reporter = new ProgressReporter(run, tunnel, tools.settings.progressIntervalMs, onAdvance);
  const options = { signal: run.lost, onProgress: reporter.report.bind(reporter) };
  // `perform` has tried for as long as is sensible.
  if (state === 'broken' && pluginErrorCode(cause) === 'OUTCOME_UNKNOWN') return leftToAPerson(run, cause, null);
  using _share = keepShare(run, tools, tunnel, driver);
  const { prepared } = run.notes;
  const routes = prepared === null ? undefined : await routesOf(run, tunnel, prepared);
  if (prepared === null || routes === undefined || driver.recoverPostCopy === undefined) {
    if (state === 'broken') {
      const gone = new LmasError('OUTCOME_UNKNOWN', 'Post-copy is broken, and its gateways are gone.');
      return leftToAPerson(run, gone, failure);
    }
    await raceSignal(driver.follow(options), run.lost);
    return 'again';
  }
  run.log.info({ state }, 'taking the post-copy migration to its end');
  try {
    await run.assertCurrent();
    await raceSignal(driver.recoverPostCopy(prepared, routes, options), run.lost);
    return 'again';
  } catch (error) {
    run.lost.throwIfAborted();
    if (pluginErrorCode(error) === 'OUTCOME_UNKNOWN') return leftToAPerson(run, error, failure);
    throw error;
  }
}

/** The gateways hold the routes of an earlier run: asking for them again only tells where they are. */
async function routesOf(run: Run, tunnel: Tunnel | undefined, prepared: Prepared): Promise<Routes | undefined> {
  if (run.migration.request.transport !== 'tunnel') return straightRoutes(prepared);
  if (tunnel === undefined) return undefined;
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ROUTES_TIMEOUT_MS)]);
  return await tunnel.openRoutes(prepared, { signal });
}

function leftToAPerson(run: Run, reason: unknown, first: MigrationError | null): Ending {
  const { vm, source, destination } = run.migration;
  const { remedy } = describeError(reason);
  const byHand =
    `VM ${vm.name} is in the middle of post-copy: ${source.endpoint} (source) and ${destination.endpoint} (destination) ` +
    'each hold memory that the other one lacks. Never destroy, reset or resume it at either of them. ' +
    (remedy ?? 'Recover the migration with the means of the hypervisor (libvirt: virsh migrate --postcopy-resume).');
  return { ...undecided(run, 'unknown', reason, first), byHand };
}

/** The point of no return was passed by whoever made the switch; a cancel that came just before can only be told so. */
async function refuseCancels(run: Run): Promise<void> {
  try {
    await run.passPointOfNoReturn();
  } catch (error) {
    if (errorCode(error) !== 'CANCELLED') throw error;
  }
}
