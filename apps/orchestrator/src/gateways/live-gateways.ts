/**
 * Which gateways there are now, from the journals of the migrations that own them: what was about to be started and has
 * not been taken away. Nobody is asked over the network.
 */
import type { z } from 'zod';
import { projectSees } from '../access/principal.ts';
import { isOutcome, type Phase } from '../migrations/phases.ts';
import type { Migration } from '../migrations/record.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { gatewaySchema } from '../schemas/gateway.ts';

export type LiveGateway = z.infer<typeof gatewaySchema>;

export interface LiveGateways {
  /** Those of the project's migrations; null: all. The oldest first. */
  list(project: string | null): Promise<LiveGateway[]>;
}

export function createLiveGateways(
  store: Pick<MigrationStore, 'running' | 'incomplete' | 'getMany' | 'readJournal'>,
): LiveGateways {
  const gatewaysOf = async (migration: Migration): Promise<LiveGateway[]> => {
    const { id, project, phase, tunnel } = migration;
    const entries = await store.readJournal(id);
    return entries.flatMap(({ resource, intentAt, releasedAt }): LiveGateway[] => {
      if (resource.kind !== 'gateway' || releasedAt !== null) return [];
      const { end, site } = resource;
      return [{ migration: id, project, end, site, since: intentAt, phase, status: statusIn(phase), tunnel }];
    });
  };
  return {
    async list(project) {
      const ids = new Set([...(await store.running()), ...(await store.incomplete())]);
      const migrations = (await store.getMany([...ids])).filter((each) => projectSees(project, each.project));
      const gateways = await Promise.all(migrations.map(gatewaysOf));
      return gateways.flat().sort((a, b) => (a.since < b.since ? -1 : 1));
    },
  };
}

function statusIn(phase: Phase): LiveGateway['status'] {
  if (isOutcome(phase)) return 'left-over';
  if (phase === 'tearing-down') return 'ending';
  if (phase === 'performing' || phase === 'confirming') return 'carrying';
  return phase === 'preparing' || phase === 'connecting' ? 'ready' : 'starting';
}
