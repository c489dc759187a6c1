/**
 * What a plugin makes, from its intent to its end. What several migrations share is counted as well (migrations/holders.ts): held
 * before it is journalled, let go before it is taken away.
 */
import { type PluginResource, pluginErrorCode } from '@lmas/plugin-api';
import type { Holders } from '../migrations/holders.ts';
import { type JournalledResource, resourceSchema } from '../migrations/journal-entry.ts';
import { Deadline, raceSignal } from '../time/waiting.ts';
import type { Releaser } from './hypervisors.ts';
import type { Run } from './run.ts';

/** Its id is unique among all endpoints, so that one host is one, wherever it is registered. */
const nameOf = ({ kind, id }: PluginResource): string => `${kind}:${id}`;

export async function intendResource(run: Run, holders: Holders, resource: PluginResource): Promise<void> {
  const { shared = false, pending = false } = resource;
  // Nothing is there yet that could be taken from anybody, so the journal comes first.
  await run.journal.intend(journalled(resource));
  if (shared) await holders.hold(nameOf(resource), run.id, { signal: run.lost, pending });
}

const journalled = (resource: PluginResource, notes: { withdrawn?: true } = {}): JournalledResource =>
  resourceSchema.parse({ kind: 'plugin', resource, ...notes });

/** Held first: a journal that names what is somebody else's could make a later run take it away. */
export async function joinHolders(run: Run, holders: Holders, resource: PluginResource): Promise<boolean> {
  const entry = journalled(resource);
  await run.assertCurrent();
  if (!(await holders.hold(nameOf(resource), run.id, { signal: run.lost, onlyIfHeld: true }))) return false;
  await run.journal.intend(entry);
  return true;
}

/**
 * From the first line on no run takes it away; until the second nobody joins it, for it was never more than asked for; and a run that dies
 * in between leaves a line by which the next one does the rest.
 */
export async function withdrawIntent(run: Run, holders: Holders, resource: PluginResource): Promise<void> {
  const entry = journalled(resource, { withdrawn: true });
  await run.journal.intend(entry);
  await forgetIntent(run, holders, resource);
  await run.journal.markReleased(entry);
}

/** Of one that was withdrawn: there is nothing else to be done about it. */
export async function forgetIntent(run: Run, holders: Holders, resource: PluginResource): Promise<void> {
  if (resource.shared === true) await holders.withdraw(nameOf(resource), run.id);
}

/** A plugin that says so does not know whether what it asked for will be done. */
const NOT_ANSWERED: ReadonlySet<string | undefined> = new Set(['TIMEOUT', 'CONNECTION_LOST']);

/**
 * With the last one that shares it; what could not be taken away is held still. Where that was given up half-way, it may still be taken
 * away, or another run of this migration be at it: then nobody takes hold of it before the time limit.
 */
export async function releaseResource(
  run: Run,
  holders: Holders,
  driver: Releaser,
  resource: PluginResource,
  signal: AbortSignal,
): Promise<void> {
  const release = () => raceSignal(driver.release(resource, { signal }), signal);
  if (resource.shared !== true) return await release();
  const name = nameOf(resource);
  if ((await letGo(run, holders, name, signal)) === 'others') return;
  try {
    await release();
  } catch (error) {
    const mayStillGo = signal.aborted || NOT_ANSWERED.has(pluginErrorCode(error));
    if (!mayStillGo) await holders.gone(name, run.id, { kept: true });
    throw error;
  }
  await holders.gone(name, run.id);
}

/** At a time: the rest of a teardown waits meanwhile, and this is tried again. */
const LET_GO_MS = 20_000;

async function letGo(run: Run, holders: Holders, name: string, signal: AbortSignal): Promise<'last' | 'others'> {
  using limit = new Deadline(
    LET_GO_MS,
    'STAGE_TIMEOUT',
    'It was asked for and not answered yet, so it may still come.',
  );
  return await holders.letGo(name, run.id, { signal: AbortSignal.any([signal, limit.signal]) });
}

/** Made at the destination for the VM, not for the move: whatever has run with it there may have left the only copy of something in it. */
export const isOfVmThere = (resource: JournalledResource): boolean =>
  resource.kind === 'plugin' && resource.resource.lifetime !== 'migration' && resource.resource.end === 'destination';

/** What was made for the VM belongs to it once it runs at the destination; what serves the move alone never does. */
export const isToBeReleased = (where: Run['migration']['where'], { lifetime }: PluginResource): boolean =>
  where === 'source' || (where === 'destination' && lifetime === 'migration');
