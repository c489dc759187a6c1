/**
 * What a plugin makes, from its intent to its end. What several migrations share is counted as well (migrations/holders.ts): held
 * before it is journalled, let go before it is taken away.
 */
import { type MigrationDriver, type PluginResource, pluginErrorCode } from '@lmas/plugin-api';
import type { Holders } from '../migrations/holders.ts';
import { resourceSchema } from '../migrations/journal-entry.ts';
import type { Run } from './run.ts';
import { raceSignal } from './waiting.ts';

/** Its id is unique among all endpoints, so that one host is one, wherever it is registered. */
const nameOf = ({ kind, id }: PluginResource): string => `${kind}:${id}`;

export async function intendResource(run: Run, holders: Holders, resource: PluginResource): Promise<void> {
  const entry = resourceSchema.parse({ kind: 'plugin', resource });
  // Nothing is there yet that could be taken from anybody, so the journal comes first.
  await run.journal.intend(entry);
  if (resource.shared === true) await holders.hold(nameOf(resource), run.id, { signal: run.lost });
}

/** Held first: a journal that names what is somebody else's could make a later run take it away. */
export async function joinHolders(run: Run, holders: Holders, resource: PluginResource): Promise<boolean> {
  const entry = resourceSchema.parse({ kind: 'plugin', resource });
  await run.assertCurrent();
  if (!(await holders.hold(nameOf(resource), run.id, { signal: run.lost, onlyIfHeld: true }))) return false;
  await run.journal.intend(entry);
  return true;
}

/** The journal first: nothing that it names still may be somebody else's. */
export async function withdrawIntent(run: Run, holders: Holders, resource: PluginResource): Promise<void> {
  await run.journal.markReleased(resourceSchema.parse({ kind: 'plugin', resource }));
  if (resource.shared !== true) return;
  const name = nameOf(resource);
  if ((await holders.letGo(name, run.id)) === 'last') await holders.gone(name, run.id);
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
  driver: MigrationDriver,
  resource: PluginResource,
  signal: AbortSignal,
): Promise<void> {
  const release = () => raceSignal(driver.release(resource, { signal }), signal);
  if (resource.shared !== true) return await release();
  const name = nameOf(resource);
  if ((await holders.letGo(name, run.id)) === 'others') return;
  try {
    await release();
  } catch (error) {
    const mayStillGo = signal.aborted || NOT_ANSWERED.has(pluginErrorCode(error));
    if (!mayStillGo) await holders.gone(name, run.id, { kept: true });
    throw error;
  }
  await holders.gone(name, run.id);
}

/** What was made for the VM belongs to it once it runs at the destination; what serves the move alone never does. */
export const isToBeReleased = (where: Run['migration']['where'], { lifetime }: PluginResource): boolean =>
  where === 'source' || (where === 'destination' && lifetime === 'migration');
