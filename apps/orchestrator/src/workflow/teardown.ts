/**
 * Takes down what the journal says may be there: newest first, trying everything, on its own deadline that no cancel
 * reaches. It never throws for what it could not release: it says so in the record, and somebody tries again later.
 */

import { describeError } from '../errors.ts';
import type { JournalledResource } from '../migrations/journal-entry.ts';
import { describeResource } from '../migrations/journal-entry.ts';
import { untidied } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import { releaseGateway } from './steps/gateways.ts';
import type { Tools } from './tools.ts';
import { Deadline, raceSignal } from './waiting.ts';

/** In words: what could not be taken down and is tried again, and what is left alone for a person to decide. */
export interface Leftovers {
  readonly failed: readonly string[];
  readonly kept: readonly string[];
}

export async function tearDown(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<Leftovers> {
  using deadline = new Deadline(tools.settings.teardownMs, 'STAGE_TIMEOUT', 'The teardown took too long.');
  const signal = AbortSignal.any([run.lost, deadline.signal]);
  const failed: string[] = [];
  const all = run.journal.unreleased();
  // What was made for the destination belongs to nobody while nobody knows where the VM is.
  const doubtful = run.migration.where === 'unknown' || run.migration.where === 'both';
  const isKept = ({ kind }: JournalledResource) => doubtful && kind === 'plugin';
  const kept = all
    .filter(isKept)
    .map((resource) => `${describeResource(resource)}: left alone, a person has to find out first where the VM runs`);
  const oldCopy = untidied(run.migration);
  if (oldCopy !== null) kept.push(oldCopy);
  for (const batch of batches(all.filter((resource) => !isKept(resource)))) {
    const results = await Promise.allSettled(
      batch.map((resource) => release(run, tools, hypervisors, resource, signal)),
    );
    run.lost.throwIfAborted();
    results.forEach((result, index) => {
      const resource = batch[index];
      if (result.status === 'fulfilled' || resource === undefined) return;
      run.log.warn({ err: result.reason, resource }, 'could not be taken down');
      failed.push(`${describeResource(resource)}: ${describeError(result.reason).message}`);
    });
  }
  return { failed, kept };
}

async function release(
  run: Run,
  tools: Tools,
  hypervisors: Hypervisors,
  resource: JournalledResource,
  signal: AbortSignal,
): Promise<void> {
  await run.assertCurrent();
  switch (resource.kind) {
    case 'gateway':
      await raceSignal(releaseGateway(run, tools, resource.end, { signal }), signal);
      break;
    case 'plugin':
      // What was made for the destination belongs to the VM once it runs there.
      if (run.migration.where === 'source') {
        const driver = await hypervisors.driver({ signal });
        await raceSignal(driver.release(resource.resource, { signal }), signal);
      }
      break;
    case 'hand-over':
      break; // settled before the outcome was decided
  }
  await run.journal.markReleased(resource);
}

/** The two gateways of a pair may go at the same time; everything else one after the other. */
function batches(resources: readonly JournalledResource[]): JournalledResource[][] {
  const gateways = resources.filter(({ kind }) => kind === 'gateway');
  const others = resources.filter(({ kind }) => kind !== 'gateway').map((resource) => [resource]);
  return gateways.length === 0 ? others : [...others, gateways];
}
