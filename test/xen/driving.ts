/** How the tests of the Xen plugin drive it: as the workflow does, with the routes that no gateway changes. */
import assert from 'node:assert/strict';
import type {
  MigrationContext,
  MigrationDriver,
  MigrationProgress,
  MigrationRequest,
  PluginResource,
  Prepared,
} from '@lmas/plugin-api';
import { createXenPlugin } from '@lmas/plugin-xen';
import { plugin, type XenWorld } from '../compliance/xen-world.ts';

const silent = () => undefined;
const signal = AbortSignal.timeout(280_000);

export const context: MigrationContext = {
  log: { debug: silent, info: silent, warn: silent, error: silent },
  recordIntent: async () => undefined,
  assertCurrent: async () => undefined,
};

/** For what is only known when the time is up. */
export const impatient = createXenPlugin({ settleMs: 700, quietMs: 300 });

/** What it intends is written there, as JSON, for that is what a journal keeps. */
export const journalling = (journal: PluginResource[]): MigrationContext => ({
  ...context,
  recordIntent: async (resource) => {
    journal.push(JSON.parse(JSON.stringify(resource)) as PluginResource);
  },
});

type Changes = Partial<Omit<MigrationRequest, 'options'>> & { readonly options?: object };

export const requestOf = (world: XenWorld, { options = {}, ...changes }: Changes = {}) =>
  ({
    ...{ migrationId: 'm_1', vm: world.vm, networkMap: {}, diskMap: {}, convergence: 'balanced' },
    ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: false },
    ...changes,
    options: plugin.optionsSchema.parse(options),
  }) as Parameters<typeof plugin.migration>[1];

/** A driver as a new process would make it. */
export const driverOf = async (
  world: XenWorld,
  changes: Changes = {},
  told = context,
  { migration } = plugin,
): Promise<MigrationDriver> => migration(await world.connect(), requestOf(world, changes), told);

export const perform = (
  driver: MigrationDriver,
  prepared: Prepared,
  stop: AbortSignal = signal,
  onProgress: (progress: MigrationProgress) => void = silent,
): Promise<void> =>
  driver.perform(prepared, Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }])), {
    signal: stop,
    onProgress,
    onPointOfNoReturn: async () => undefined,
  });

export async function migrate(driver: MigrationDriver): Promise<void> {
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  await driver.confirm(prepared, { signal });
}

export function assertOneAt(world: XenWorld, end: 'source' | 'destination'): void {
  assert.deepEqual(world.runningCopies(), { source: end === 'source', destination: end === 'destination' });
  assert.equal(world.maxRunningCopies(), 1);
}
