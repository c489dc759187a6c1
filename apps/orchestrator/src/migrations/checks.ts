/**
 * The checks of a migration as a dry run: the same that a real run makes, and nothing else.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { EndpointConnector } from '../endpoints/connector.ts';
import type { Logger } from '../log.ts';
import type { migrationCheckSchema } from '../schemas/migration-check.ts';
import { type MigrationInput, newMigrationId } from './record.ts';
import type { MigrationService } from './service.ts';

export interface MigrationChecker {
  check(input: MigrationInput, options: { signal: AbortSignal }): Promise<z.infer<typeof migrationCheckSchema>>;
}

export function createMigrationChecker(
  service: MigrationService,
  connector: EndpointConnector,
  log: Logger,
): MigrationChecker {
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
              bandwidthBytesPerSec: input.bandwidthBytesPerSec,
              tunnelled: input.transport === 'tunnel',
            },
            { log, assertCurrent: refuseEffects, recordIntent: refuseEffects },
          );
          const { findings, memoryBytes, diskBytes } = await driver.check({ signal });
          return {
            ok: findings.every(({ severity }) => severity !== 'blocker'),
            findings: findings.map((finding) => ({ ...finding })),
            memoryBytes,
            diskBytes,
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
