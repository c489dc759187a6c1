/**
 * Takes down what the journal says may be there: newest first, trying everything, on its own deadline that no cancel
 * reaches. It never throws for what it could not release: it says so in the record, and somebody tries again later.
 */

import { describeError, LmasError } from '../errors.ts';
import type { GivenUp } from '../migrations/give-ups.ts';
import type { JournalledResource } from '../migrations/journal-entry.ts';
import { describeResource } from '../migrations/journal-entry.ts';
import { Deadline, raceSignal } from '../time/waiting.ts';
import { inStageSpan } from '../tracing/migration-spans.ts';
import { openInWords } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import { isOutOfReach } from './out-of-reach.ts';
import { forgetIntent, isOfVmThere, isToBeReleased, releaseResource } from './plugin-resources.ts';
import type { Run } from './run.ts';
import { releaseBarrier, releaseGateway } from './steps/gateways.ts';
import type { Tools } from './tools.ts';

/** In words: what could not be taken down and is tried again, and what is left alone for a person to decide. */
export interface Leftovers {
  readonly failed: readonly Failure[];
  /** Tried again as well: somebody may have found the VM by then. */
  readonly left: readonly string[];
  /** What is no resource of ours, but open: see settle-late.ts. */
  readonly told: readonly string[];
}

interface Failure {
  readonly text: string;
  /** Its end may be gone for good. Only that can be given up. */
  readonly outOfReach: boolean;
}

/** @param isMeant what of it is taken down now; by default all of it */
export async function tearDown(
  run: Run,
  tools: Tools,
  hypervisors: Hypervisors,
  isMeant: (resource: JournalledResource) => boolean = () => true,
): Promise<Leftovers> {
  return await inStageSpan('tearing-down', () => takeDown(run, tools, hypervisors, isMeant));
}

async function takeDown(
  run: Run,
  tools: Tools,
  hypervisors: Hypervisors,
  isMeant: (resource: JournalledResource) => boolean,
): Promise<Leftovers> {
  using deadline = new Deadline(tools.settings.teardownMs, 'STAGE_TIMEOUT', 'The teardown took too long.');
  const signal = AbortSignal.any([run.lost, deadline.signal]);
  const { isOpen } = run.notes;
  // Whoever goes on with what is open must find that it was handed over.
  const all = run.journal.unreleased().filter((each) => isMeant(each) && !(isOpen && each.kind === 'hand-over'));
  const toBeLeft = all.filter((resource) => whyLeft(run, resource) !== null);
  const { where, purpose } = run.migration;
  // What a relocation puts there is held: nothing has run with it, unless somebody else's definition was seen there (relocation.ts).
  const mayHaveRun = purpose !== 'relocation' || where === 'both';
  if (mayHaveRun) for (const resource of toBeLeft) await run.journal.markLeft(resource);
  const failed: Failure[] = [];
  for (const batch of batches(all.filter((resource) => !toBeLeft.includes(resource)))) {
    const results = await Promise.allSettled(
      batch.map((resource) => release(run, tools, hypervisors, resource, signal)),
    );
    run.lost.throwIfAborted();
    results.forEach((result, index) => {
      const resource = batch[index];
      if (result.status === 'fulfilled' || resource === undefined) return;
      run.log.warn({ err: result.reason, resource }, 'could not be taken down');
      const text = `${describeResource(resource)}: ${describeError(result.reason).message}`;
      // What waits for something is as far out of reach as that.
      const waits = belongsToBarrier(resource) && isWaiting(run);
      failed.push({ text, outOfReach: waits || isOutOfReach(result.reason) });
    });
  }
  const isAsked = isOpen && (await tools.words.get(run.id)) === null;
  const told = isAsked ? [openInWords(run.migration)] : [];
  return { failed, left: toBeLeft.map((each) => leftInWords(run, each)), told };
}

/**
 * What was made for the VM or its move belongs to nobody while nobody knows where the VM is. Once it is found at the source, it goes, all but
 * what was made for the VM at the destination: there it may have run meanwhile, and that may hold the only copy of something.
 */
function whyLeft({ migration: { where }, journal }: Run, resource: JournalledResource): string | null {
  if (resource.kind !== 'plugin' && resource.kind !== 'barrier') return null;
  if (isWithdrawn(resource)) return null;
  if (where === 'unknown' || where === 'both') return 'a person has to find out first where the VM runs';
  if (where === 'destination' || !isOfVmThere(resource) || !journal.wasLeft(resource)) return null;
  return 'the VM may have run with it while nobody knew where; look at it, remove it by hand, and say so (lmas give-up)';
}

function leftInWords(run: Run, resource: JournalledResource): string {
  const byHand = resource.kind === 'plugin' ? resource.resource.byHand : undefined;
  const told = `${describeResource(resource)}: left alone, ${whyLeft(run, resource)}`;
  return byHand === undefined ? told : `${told}. Then: ${byHand}`;
}

const GIVEN_UP =
  'given up, and tried no more. If that machine comes back after all, look there by hand: a gateway ends by itself when no ' +
  'stream is open, and like a barrier is swept away while its site is registered; volumes and definitions made for the VM stay.';
const LEFT_FOR_GOOD = 'given up: it stays until somebody takes it away by hand';
const NOT_GIVEN_UP = 'not given up, because its end can be reached; tried again and again';

/**
 * Writes into the record what came of a teardown.
 * @param givenUp somebody's word that machines are gone for good. It holds once nothing is left but what cannot be reached
 */
export function noteTeardown(
  migration: Run['migration'],
  { failed, left, told }: Leftovers,
  givenUp: GivenUp | null = null,
): void {
  const isWhole = failed.length === 0 && left.length === 0 && told.length === 0;
  const holds = givenUp !== null && !isWhole && failed.every(({ outOfReach }) => outOfReach);
  const words = ({ text, outOfReach }: Failure): string => {
    if (holds) return `${text} (${GIVEN_UP})`;
    return givenUp === null || outOfReach ? text : `${text} (${NOT_GIVEN_UP})`;
  };
  const leftWords = left.map((text) => (holds ? `${text} (${LEFT_FOR_GOOD})` : text));
  migration.leftovers = [...failed.map(words), ...leftWords, ...told];
  migration.givenUp = holds ? givenUp : null;
  if (migration.teardown === 'not-needed') return;
  migration.teardown = isWhole ? 'complete' : 'incomplete';
  if (holds) migration.teardown = 'given-up';
}

async function release(
  run: Run,
  tools: Tools,
  hypervisors: Hypervisors,
  resource: JournalledResource,
  signal: AbortSignal,
): Promise<void> {
  await run.assertCurrent();
  if (belongsToBarrier(resource) && isWaiting(run)) throw new LmasError('IN_USE', waitsInWords(resource));
  switch (resource.kind) {
    case 'gateway':
      await raceSignal(releaseGateway(run, tools, resource.end, { signal }), signal);
      break;
    case 'plugin':
      if (isWithdrawn(resource)) await forgetIntent(run, tools.holders, resource.resource);
      else if (isToBeReleased(run.migration.where, resource.resource)) {
        const driver = await hypervisors.releaser(resource.resource, { signal });
        await releaseResource(run, tools.holders, driver, resource.resource, signal);
      }
      break;
    case 'barrier':
      await raceSignal(releaseBarrier(run, tools, resource.end, { signal }), signal);
      break;
    case 'hand-over':
      break; // settled before the outcome was decided
  }
  await run.journal.markReleased(resource);
}

const isWithdrawn = (resource: JournalledResource): boolean =>
  resource.kind === 'plugin' && resource.withdrawn === true;

/** A barrier, and what leads to it: without that the traffic would go past it. */
const belongsToBarrier = (resource: JournalledResource): boolean =>
  resource.kind === 'barrier' ||
  (resource.kind === 'plugin' && resource.resource.leadsToBarrier === true && !isWithdrawn(resource));

function waitsInWords(resource: JournalledResource): string {
  const waits = 'It stands until what it was raised for has been put back.';
  if (resource.kind !== 'plugin') return waits;
  const { byHand } = resource.resource;
  return `It leads to a barrier, and stays until what that was raised for has been put back.${byHand === undefined ? '' : ` If that will never be: ${byHand}`}`;
}

/** Whether the traffic could still be in the clear. */
const isWaiting = (run: Run): boolean =>
  run.journal.unreleased().some((resource) => resource.kind === 'plugin' && resource.resource.behindBarrier === true);

/** The two gateways of a pair may go at the same time; everything else one after the other. */
function batches(resources: readonly JournalledResource[]): JournalledResource[][] {
  const gateways = resources.filter(({ kind }) => kind === 'gateway');
  const others = resources.filter(({ kind }) => kind !== 'gateway').map((resource) => [resource]);
  return gateways.length === 0 ? others : [...others, gateways];
}
