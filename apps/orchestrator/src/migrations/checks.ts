/**
 * The checks of a migration as a dry run: the same that a real run makes, and nothing else.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import { type Questions, withSessions } from '../endpoints/questions.ts';
import { LmasError } from '../errors.ts';
import type { LinkService } from '../links/links.ts';
import type { Logger } from '../log.ts';
import type { migrationCheckSchema } from '../schemas/migration-check.ts';
import type { EndpointStore, SiteStore } from '../sites/sites.ts';
import { expectedRate, guestTreatment } from './expectations.ts';
import { predict } from './prediction.ts';
import { type MigrationInput, newMigrationId, purposeOf } from './record.ts';
import type { MigrationService } from './service.ts';
import { tunnelFacts } from './tunnel-facts.ts';

export interface MigrationChecker {
  check(input: MigrationInput, options: { signal: AbortSignal }): Promise<z.infer<typeof migrationCheckSchema>>;
}

export interface CheckerParts {
  readonly service: Pick<MigrationService, 'validate'>;
  readonly questions: Questions;
  readonly endpoints: Pick<EndpointStore, 'get'>;
  readonly sites: Pick<SiteStore, 'get'>;
  readonly links: Pick<LinkService, 'get'>;
  readonly log: Logger;
}

export function createMigrationChecker({
  service,
  questions,
  endpoints,
  sites,
  links,
  log,
}: CheckerParts): MigrationChecker {
  return {
    async check(input, { signal }) {
      await service.validate(input);
      return await withSessions(questions, input, { signal }, async ({ source, destination }) => {
        const [from, to] = await Promise.all([endpoints.get(input.source), endpoints.get(input.destination)]);
        const { plugin } = source;
        const vm = await source.session.findVm(input.vm, { signal });
        const ends = { source: source.session, destination: destination.session };
        const context = { log, assertCurrent: refuseEffects, recordIntent: refuseEffects, joinHolders: refuseEffects };
        const request = {
          migrationId: newMigrationId(),
          vm: { id: vm.id, name: vm.name },
          options: plugin.optionsSchema.parse(input.options),
          networkMap: input.networkMap,
          diskMap: input.diskMap,
          disksAlone: input.source === input.destination,
          mayReplace: input.mayReplace,
          maxDowntimeMs: input.maxDowntimeMs,
          convergence: input.convergence,
          bandwidthBytesPerSec: input.bandwidthBytesPerSec,
          tunnelled: input.transport === 'tunnel',
          tunnel: await tunnelFacts(sites, input, { source: from.site, destination: to.site }),
        };
        const purpose = purposeOf(input);
        const isMove = purpose === 'move';
        const driver = {
          move: () => plugin.migration(ends, request, context),
          drill: () => plugin.drill?.(ends, request, context),
          relocation: () => plugin.relocation?.(ends, request, context),
        }[purpose]();
        // `validate` has said so
        if (driver === undefined)
          throw new LmasError(purpose === 'drill' ? 'DRILL_NOT_SUPPORTED' : 'RELOCATION_NOT_SUPPORTED');
        const report = await driver.check({ signal });
        const { findings, memoryBytes, diskBytes, dirtyRateBytesPerSec = null } = report;
        const rateBytesPerSec = await expectedRate(input, { endpoints, links });
        return {
          ok: findings.every(({ severity }) => severity !== 'blocker'),
          findings: findings.map((finding) => ({ ...finding })),
          memoryBytes,
          diskBytes,
          prediction: predict({
            ...{ memoryBytes, diskBytes, rateBytesPerSec },
            // The disks of a copy are those of one point in time: what the guest writes meanwhile is not sent.
            dirtyRateBytesPerSec: isMove ? dirtyRateBytesPerSec : 0,
            dirtyRateErrorBytesPerSec: isMove ? report.dirtyRateErrorBytesPerSec : 0,
            ...guestTreatment(input),
          }),
        };
      });
    },
  };
}

async function refuseEffects(): Promise<never> {
  throw new PluginError('SUPERSEDED', 'A check must not change anything.');
}
