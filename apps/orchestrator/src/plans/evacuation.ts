/**
 * The plan of an evacuation: everything that runs at a place, in one wave. Pure.
 */
import type { z } from 'zod';
import type { evacuationInputSchema } from '../schemas/plan.ts';
import type { PlanBody, VmSelector } from './record.ts';

export function evacuationPlan(input: z.output<typeof evacuationInputSchema>): PlanBody {
  const { source, destination, except, concurrency, onFailure, mappings, poweredOff, migration } = input;
  const selector: VmSelector =
    'endpoint' in source
      ? { kind: 'host', source: source.endpoint, destination, except }
      : { kind: 'site', source: source.site, destination, except };
  const afterwards = { pauseMs: 0, approval: false, checks: [] };
  return {
    description: `Evacuation of ${'endpoint' in source ? source.endpoint : `site ${source.site}`}`,
    waves: [{ name: '', vms: [selector], concurrency, onFailure, afterwards }],
    ...{ mappings, poweredOff, migration, after: [], rtoMs: null },
    drill: { networks: {}, keepMs: 0 },
  };
}
