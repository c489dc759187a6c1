/**
 * The checks of a migration as a dry run: the same that a real run makes, and nothing else.
 */
import { type Convergence, PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { EndpointConnector } from '../endpoints/connector.ts';
import type { LinkService } from '../links/links.ts';
import type { Logger } from '../log.ts';
import type { migrationCheckSchema } from '../schemas/migration-check.ts';
import type { EndpointStore } from '../sites/sites.ts';
import { predict } from './prediction.ts';
import { type MigrationInput, newMigrationId } from './record.ts';
import type { MigrationService } from './service.ts';

export interface MigrationChecker {
  check(input: MigrationInput, options: { signal: AbortSignal }): Promise<z.infer<typeof migrationCheckSchema>>;
}

/** What the policies come to at the hypervisors that we know; a plugin may do a little more or less. */
const PAUSE_MS: Readonly<Record<Convergence, number>> = {
  balanced: 300,
  'fast-switchover': 100,
  'never-pause': 50,
  'must-finish': 5_000,
};
/** QEMU's auto-converge leaves a guest one per cent of its time at most; it rarely comes to that. */
const LEAST_SPEED: Readonly<Record<Convergence, number>> = {
  balanced: 1,
  'fast-switchover': 0.1,
  'never-pause': 1,
  'must-finish': 0.05,
};

export interface CheckerParts {
  readonly service: Pick<MigrationService, 'validate'>;
  readonly connector: EndpointConnector;
  readonly endpoints: Pick<EndpointStore, 'get'>;
  readonly links: Pick<LinkService, 'get'>;
  readonly log: Logger;
}

export function createMigrationChecker({ service, connector, endpoints, links, log }: CheckerParts): MigrationChecker {
  /** Through the tunnel: what was measured or set, and no more than the limits. A straight stream was never measured. */
  const expectedRate = async (input: MigrationInput): Promise<number | null> => {
    const [source, destination] = await Promise.all([endpoints.get(input.source), endpoints.get(input.destination)]);
    if (input.transport === 'direct' || source.site === destination.site) return null;
    const { measurements, rateBitsPerSec, limits } = await links.get(`${source.site}~${destination.site}`);
    const measured = measurements.find((each) => each.source === source.site)?.goodputBitsPerSec ?? rateBitsPerSec;
    if (measured === null) return null;
    const caps = [limits.bandwidthBytesPerSec, input.bandwidthBytesPerSec].filter((cap) => cap !== null);
    return Math.min(measured / 8, ...caps);
  };
  return {
    async check(input, { signal }) {
      await service.validate(input);
      const source = await connector.connect(input.source, { signal });
      try {
        const destination = await connector.connect(input.destination, { signal });
        try {
          const { plugin } = source;
          const vm = await source.session.findVm(input.vm, { signal });
          const driver = plugin.migration(
            { source: source.session, destination: destination.session },
            {
              migrationId: newMigrationId(),
              vm: { id: vm.id, name: vm.name },
              options: plugin.optionsSchema.parse(input.options),
              networkMap: input.networkMap,
              diskMap: input.diskMap,
              maxDowntimeMs: input.maxDowntimeMs,
              convergence: input.convergence,
              bandwidthBytesPerSec: input.bandwidthBytesPerSec,
              tunnelled: input.transport === 'tunnel',
            },
            { log, assertCurrent: refuseEffects, recordIntent: refuseEffects },
          );
          const { findings, memoryBytes, diskBytes, dirtyRateBytesPerSec = null } = await driver.check({ signal });
          const rateBytesPerSec = await expectedRate(input);
          return {
            ok: findings.every(({ severity }) => severity !== 'blocker'),
            findings: findings.map((finding) => ({ ...finding })),
            memoryBytes,
            diskBytes,
            prediction: predict({
              ...{ memoryBytes, diskBytes, rateBytesPerSec, dirtyRateBytesPerSec },
              maxDowntimeMs: input.maxDowntimeMs ?? PAUSE_MS[input.convergence],
              leastSpeed: LEAST_SPEED[input.convergence],
            }),
          };
        } finally {
          await destination.session.close();
        }
      } finally {
        await source.session.close();
      }
    },
  };
}

async function refuseEffects(): Promise<never> {
  throw new PluginError('SUPERSEDED', 'A check must not change anything.');
}
