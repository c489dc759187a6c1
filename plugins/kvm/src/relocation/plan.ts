/**
 * What a relocation reads at the source: the plan of a migration of the same VM, and what is its own. No side effects.
 */
import {
  type JsonValue,
  type MigrationContext,
  type MigrationRequest,
  PluginError,
  type RelocationRequest,
} from '@lmas/plugin-api';
import { z } from 'zod';
import type { KvmOptions } from '../config.ts';
import { mapDefinition } from '../definition/mapping.ts';
import { nvramOf } from '../drill/definition.ts';
import { stateDiskSchema } from '../drill/state.ts';
import { makePlan, type Plan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';
import { XML } from '../rpc/constants.ts';
import type { KvmSession } from '../session.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** As the checks and plans of migrations take it. Nothing runs: what is said of how memory moves means nothing. */
export const asMigration = (request: RelocationRequest<KvmOptions>): MigrationRequest<KvmOptions> => ({
  ...request,
  maxDowntimeMs: null,
  convergence: 'balanced',
});

/** What is at work, for whom, and where it is written down. */
export interface Placing {
  readonly ends: Ends;
  readonly request: RelocationRequest<KvmOptions>;
  readonly context: MigrationContext;
}

export interface RelocationPlan extends Plan {
  /** UEFI variables that the destination does not see; `undefined` where there are none to be brought. */
  readonly nvram: string | undefined;
}

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function makeRelocationPlan(
  { source, destination }: Ends,
  request: RelocationRequest<KvmOptions>,
  options: Options,
): Promise<RelocationPlan> {
  const plan = await makePlan(source, destination, asMigration(request), options);
  const nvram = nvramOf(plan.sourceXml);
  const isShared = (path: string): boolean =>
    [source, destination].every(({ config }) => config.sharedPaths.some((shared) => isBelow(path, shared)));
  return { ...plan, nvram: nvram === undefined || isShared(nvram) ? undefined : nvram };
}

const isBelow = (path: string, directory: string): boolean => path.startsWith(`${directory.replace(/\/+$/, '')}/`);

/** The VM's definition as the destination is to have it, with its secrets: it goes to libvirt and nowhere else. */
export async function definitionThere(source: KvmSession, plan: Plan, { signal }: Options): Promise<string> {
  const client = await source.query({ signal });
  return mapDefinition(await client.xml(plan.domain, XML.secure | XML.inactive, { signal }), plan.mapping);
}

const stateSchema = z.object({
  domainName: z.string(),
  autostart: z.boolean(),
  nvram: z.string().nullable(),
  disks: z.array(
    stateDiskSchema.extend({
      /** The image as it was before it was copied. */
      seen: z.object({ inode: z.string(), sizeBytes: z.number(), modifiedSec: z.number() }),
    }),
  ),
});
/** What `prepare` leaves in the record. No secrets. */
export type RelocationState = z.infer<typeof stateSchema>;

/** @throws PluginError INVALID_CONFIG for a record that this version cannot read */
export function parseRelocationState(state: JsonValue): RelocationState {
  const parsed = stateSchema.safeParse(state);
  if (parsed.success) return parsed.data;
  throw new PluginError('INVALID_CONFIG', 'The record of the relocation cannot be read.', { cause: parsed.error });
}
