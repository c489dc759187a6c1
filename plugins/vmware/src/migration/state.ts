/** What `prepare` leaves for `perform`, `confirm` and a recovery: JSON in the record, and no secret. */
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import { type Lasting, lastingSchema } from './arrived-as.ts';
import type { Plan } from './plan.ts';
import { nameOf } from './plan.ts';

const stateSchema = z.object({
  hostId: z.string(),
  hostName: z.string(),
  disks: z.array(z.object({ label: z.string(), datastoreId: z.string() })),
  /** Where it goes to another vCenter; see arrived-as.ts. */
  lasting: lastingSchema.nullable().default(null),
  /** Where the VM was and what it had, for people. */
  definition: z.string(),
});

export type VmwareState = z.infer<typeof stateSchema>;

export function stateOf(plan: Plan): VmwareState {
  const { record } = plan.vm;
  const { sourcePlaces } = plan;
  const definition = {
    name: record.name,
    instanceUuid: record['config.instanceUuid'],
    host: plan.sourceHost?.record.name,
    pool: nameOf(sourcePlaces.pools, record.resourcePool),
    folder: nameOf(sourcePlaces.folders, record.parent),
    disks: plan.disks.map(({ label, device }) => ({ label, file: device.backing?.fileName })),
    networks: plan.cards.map(({ label, networkName }) => ({ label, network: networkName })),
    migrateEncryption: record['config.migrateEncryption'],
  };
  return {
    hostId: plan.host?.ref.value ?? '',
    hostName: plan.host?.record.name ?? '',
    disks: plan.disks.flatMap(({ label, datastore }) =>
      datastore === undefined ? [] : [{ label, datastoreId: datastore.ref.value }],
    ),
    lasting: lastingOf(plan),
    definition: JSON.stringify(definition),
  };
}

/** By what else the VM can be found where it goes; `null` where nothing else is needed. */
export function lastingOf({ sameVCenter, vm, host, copies }: Plan): Lasting | null {
  const biosUuid = vm.record['config.uuid'];
  if (sameVCenter || biosUuid === undefined || host === undefined) return null;
  return { biosUuid, copies: copies.map(({ value }) => value), hostId: host.ref.value };
}

/** `null` is what a recovery has when the answer of `prepare` was lost. */
export function parseState(value: unknown): VmwareState | null {
  if (value === null) return null;
  const parsed = stateSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PluginError('INVALID_CONFIG', `The notes of this migration cannot be read: ${parsed.error.message}`);
}
