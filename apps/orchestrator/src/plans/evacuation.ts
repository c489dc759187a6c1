/**
 * The plan of an evacuation: everything that runs at a place, in one wave. Pure.
 */
import type { z } from 'zod';
import type { evacuationInputSchema } from '../schemas/plan.ts';
import type { PlanBody, VmSelector } from './record.ts';

export function evacuationPlan(input: z.output<typeof evacuationInputSchema>): PlanBody {
  const { source, destination, except, first, order, concurrency, onFailure, mappings } = input;
  const { poweredOff, silent, memory, migration } = input;
  const which = { destination, except, first, order };
  const selector: VmSelector =
    'endpoint' in source
      ? { kind: 'host', source: source.endpoint, ...which }
      : { kind: 'site', source: source.site, ...which };
  const afterwards = { pauseMs: 0, approval: false, approveWithinMs: null, checks: [] };
  return {
    description: `Evacuation of ${'endpoint' in source ? source.endpoint : `site ${source.site}`}`,
    waves: [{ name: '', vms: [selector], concurrency, onFailure, afterwards }],
    ...{ mappings, poweredOff, silent, memory, migration, after: [], rtoMs: null },
    drill: { networks: {}, keepMs: 0 },
  };
}
