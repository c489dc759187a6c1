/**
 * Takes down what the journal says may be there: newest first, trying everything, on its own deadline that no cancel
 * reaches. It never throws for what it could not release: it says so in the record, and somebody tries again later.
 */

import { describeError } from '../errors.ts';
import type { JournalledResource } from '../migrations/journal-entry.ts';
import { describeResource } from '../migrations/journal-entry.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import { releaseGateway } from './steps/gateways.ts';
import type { Tools } from './tools.ts';
import { Deadline, raceSignal } from './waiting.ts';

/** @returns in words, what could not be taken down */
export async function tearDown(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<string[]> {
  using deadline = new Deadline(tools.settings.teardownMs, 'STAGE_TIMEOUT', 'The teardown took too long.');
  const signal = AbortSignal.any([run.lost, deadline.signal]);
  const leftovers: string[] = [];
  for (const batch of batches(run.journal.unreleased())) {
    const results = await Promise.allSettled(
      batch.map((resource) => release(run, tools, hypervisors, resource, signal)),
    );
    run.lost.throwIfAborted();
    results.forEach((result, index) => {
      const resource = batch[index];
      if (result.status === 'fulfilled' || resource === undefined) return;
      run.log.warn({ err: result.reason, resource }, 'could not be taken down');
      leftovers.push(`${describeResource(resource)}: ${describeError(result.reason).message}`);
    });
  }
  return leftovers;
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
      // What was made for the destination belongs to the VM once it runs there, and to nobody while nobody knows.
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
