/**
 * Encrypted vMotion is left as the VM is set, unless the migration was told to disable it: then it is set to `disabled` before the
 * move and put back afterwards, wherever the VM is. Never without a tunnel that encrypts, never for a VM that is encrypted itself.
 */
import { type Logger, type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { z } from 'zod';
import type { Options } from '../client.ts';
import { isFault } from '../errors.ts';
import { type Row, readObject } from '../properties.ts';
import { refSchema, vmSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import { data, type Ref } from '../wire/data-objects.ts';
import { findByLasting, type Lasting, lastingSchema } from './arrived-as.ts';
import { ask, takeBack } from './asked.ts';
import type { Ends, Plan } from './plan.ts';
import { lastingOf } from './state.ts';
import { followTask, isOurs, isOver, reconfigurationsOf } from './task.ts';

export const ENCRYPTION = 'encryption';
const DISABLED = 'disabled';
/** Every VM has an instance UUID: without one its configuration could not be read, and nobody knows the setting. */
const settingSchema = vmSchema.pick({
  ...{ 'config.migrateEncryption': true, 'config.instanceUuid': true },
  ...{ 'runtime.powerState': true, 'runtime.connectionState': true },
});
const tasksSchema = vmSchema.pick({ recentTask: true });
const dataSchema = z.object({ was: z.string(), lasting: lastingSchema.nullable().default(null) });

/** What vSphere does when a VM says nothing. */
const BY_DEFAULT = 'opportunistic';
export const encryptionOf = ({ vm }: Plan): string => vm.record['config.migrateEncryption'] ?? BY_DEFAULT;

export const isEncryptedVm = ({ vm }: Plan): boolean => {
  const key = vm.record['config.keyId'];
  return key !== undefined && key !== null && key !== '';
};

/** @throws PluginError NOT_MIGRATABLE where it must not be disabled */
export async function disableEncryption(
  { source }: Ends,
  plan: Plan,
  context: MigrationContext,
  options: Options,
): Promise<void> {
  const { request, vm } = plan;
  if (request.options.encryption !== 'disable') return;
  // As it is now: what somebody has chosen since the plan was made is what has to come back.
  const now = await settingAt(source, vm.ref, options);
  if (now === undefined) throw new PluginError('VM_NOT_FOUND', `${request.vm.name} has gone since it was checked.`);
  const was = now.value;
  if (was === DISABLED) return;
  const reason = whyNotDisable(plan);
  if (reason !== undefined) throw new PluginError('NOT_MIGRATABLE', reason);
  const resource = {
    kind: ENCRYPTION,
    id: request.vm.id,
    end: 'source',
    data: { was, lasting: lastingOf(plan) },
    lifetime: 'migration',
    behindBarrier: true,
    atEitherEnd: true,
    byHand:
      `At the vCenter that has ${request.vm.name}, set its Encrypted vMotion to "${was}" (vSphere Client: Edit Settings → VM Options → ` +
      'Encryption), unless somebody has chosen something else since.',
  } as const;
  await ask(resource, context, () => setEncryption(source, vm.ref, DISABLED));
  options.signal.throwIfAborted();
}

export function whyNotDisable(plan: Plan): string | undefined {
  if (plan.request.tunnel?.encrypts !== true) {
    return 'Encrypted vMotion may be disabled only while a tunnel encrypts in its place.';
  }
  if (isEncryptedVm(plan)) return 'The VM is encrypted itself; vSphere then demands encrypted vMotion.';
  return undefined;
}

/**
 * Puts it back, wherever the VM is known. What an earlier run has begun is waited for: it would come after us. What is not `disabled`
 * any more is somebody else's choice, and stays. One vCenter may be silent where the other one runs the VM; an entry that does not run
 * proves nothing, since the VM may have left it behind.
 * @throws PluginError VM_NOT_FOUND when it is known nowhere: nobody can say then how it is set
 */
export async function restoreEncryption(
  ends: Ends,
  resource: PluginResource,
  { log, ...options }: Options & { readonly unansweredMs: number; readonly log: Logger },
): Promise<void> {
  const { was, lasting } = dataSchema.parse(resource.data);
  const look = async (): Promise<boolean> => {
    const seen: Setting[] = [];
    const errors: unknown[] = [];
    for (const session of [ends.destination, ends.source]) {
      try {
        const known = await knownAt(session, resource.id, session === ends.destination ? lasting : null, options);
        const setting = known === null ? undefined : await settingAt(session, known, options);
        if (setting === undefined) continue;
        if (setting.value === DISABLED) await setEncryption(session, setting.vm, was);
        seen.push(setting);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0 && !seen.some(({ runs }) => runs)) throw errors[0];
    if (seen.length === 0) throw knownNowhere(ends, resource.id, was);
    const isPutBack = seen.some(({ value }) => value === DISABLED);
    if (!isPutBack)
      log.info({ vm: resource.id, seen, was }, 'encrypted vMotion is not disabled; it is left as it is set');
    return isPutBack;
  };
  await takeBack(resource, look, options);
}

/** By its instance UUID, or by what it keeps where the destination has given it a new one. */
async function knownAt(
  session: VmwareSession,
  uuid: string,
  lasting: Lasting | null,
  options: Options,
): Promise<Ref | null> {
  const byUuid = await session.vm(uuid, tasksSchema, options);
  if (byUuid !== null || lasting === null) return byUuid?.ref ?? null;
  return (await findByLasting(session, lasting, options))?.ref ?? null;
}

interface Setting {
  readonly vm: Ref;
  readonly value: string;
  readonly runs: boolean;
}

/**
 * As it is when none of our own tasks changes it any more; `undefined`: the VM is gone meanwhile.
 * @throws PluginError where the vCenter has it and does not tell how it is set
 */
async function settingAt(session: VmwareSession, vm: Ref, options: Options): Promise<Setting | undefined> {
  const tasks = await readObject(session.client, vm, tasksSchema, options);
  if (tasks !== null) await untilReconfigured(session, { ref: vm, record: tasks }, options);
  const record = await readObject(session.client, vm, settingSchema, options);
  if (record === null) return undefined;
  if (record['config.instanceUuid'] === undefined) throw unreadable(session);
  const runs = record['runtime.powerState'] === 'poweredOn' && record['runtime.connectionState'] === 'connected';
  return { vm, value: record['config.migrateEncryption'] ?? BY_DEFAULT, runs };
}

const unreadable = ({ config }: VmwareSession): PluginError =>
  new PluginError(
    'HYPERVISOR_FAULT',
    `${config.host} does not tell the VM’s configuration, so nobody knows how its encrypted vMotion is set.`,
    {
      remedy:
        'See that the login has System.View and System.Read on the VM, and that the vCenter is connected to its host.',
    },
  );

const knownNowhere = ({ source, destination }: Ends, uuid: string, was: string): PluginError =>
  new PluginError(
    'VM_NOT_FOUND',
    `Neither ${source.config.host} nor ${destination.config.host} knows the VM ${uuid}, whose encrypted vMotion is to be put back.`,
    {
      remedy: `Once it is registered again, set its encrypted vMotion to "${was}"; if it is gone for good, say so (lmas give-up).`,
    },
  );

/** How our tasks ended does not matter: what they have set is read. */
async function untilReconfigured(
  { client }: VmwareSession,
  vm: Row<z.output<typeof tasksSchema>>,
  options: Options,
): Promise<void> {
  for (const task of await reconfigurationsOf(client, vm, options)) {
    if (isOver(task) || !isOurs(task, client)) continue;
    await followTask(client, task.task, options).catch((error: unknown) => {
      if (!isFault(error)) throw error;
    });
  }
}

/** Never given up half-way: vSphere does it all the same, and whoever puts it back must come afterwards. */
async function setEncryption({ client }: VmwareSession, vm: Ref, value: string): Promise<void> {
  const options = { signal: client.closed };
  const spec = data('VirtualMachineConfigSpec', { migrateEncryption: value });
  const task = await client.call(vm, 'ReconfigVM_Task', { spec }, refSchema, options);
  await followTask(client, task, options);
}
