/**
 * The point in time of the VM's disks: a backup of libvirt's in pull mode. QEMU serves the disks as they were when it began, at a
 * Unix socket in the VM's own directory, and puts aside what the guest overwrites meanwhile. The guest runs on and is told nothing.
 *
 * Invariant: only the backup that has this drill's socket is ever ended; any other job of the VM is somebody else's.
 */
import { basename, dirname } from 'node:path';
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { escapeXml } from '../definition/xml.ts';
import { isFault, toPluginError } from '../errors.ts';
import { removeFile } from '../files.ts';
import { pause } from '../migration/progress.ts';
import { ERROR, JOB, OPERATION } from '../rpc/constants.ts';
import { numberOf } from '../rpc/typed-params.ts';
import type { KvmSession } from '../session.ts';
import { scratchNeeds } from './disks.ts';
import { dropKey, putKey } from './key.ts';
import { type DrillNames, isOwnFile } from './names.ts';
import { backupXml, type DrillPlan, inside, type PlannedDisk } from './plan.ts';
import { scratchRoom } from './scratch.ts';

interface Options {
  readonly signal: AbortSignal;
}

const END_TIMEOUT_MS = 60_000;
const LOOK_MS = 100;
/** $1 the domain's id: its directory belongs to QEMU's user, and confinement (AppArmor, SELinux) lets it make sockets there. */
const PRIVATE =
  'for d in /var/lib/libvirt/qemu/domain-"$1"-*; do [ -d "$d" ] && printf %s "$d" && exit 0; done; exit 3';

async function socketPath(source: KvmSession, { domain, names, disks }: DrillPlan, options: Options): Promise<string> {
  const { stdout, exitCode } = await source.transport.exec(['sh', '-c', PRIVATE, 'sh', String(domain.id)], options);
  const [scratch = '/tmp/scratch'] = disks.flatMap((disk) => disk.scratch ?? []);
  return inside(exitCode === 0 ? stdout.toString('utf8') : dirname(scratch), socketName(names.tag));
}

/** Unique to the drill; short, since a Unix socket's path has 107 bytes. */
const socketName = (tag: string): string => `lmas-drill-${tag.slice(0, 16)}.sock`;

/** As `<domainbackup>` of libvirt's formatbackup.html. */
export function backupRequest(socket: string, disks: readonly { name: string; scratch: string | undefined }[]): string {
  const each = disks.map(({ name, scratch }) =>
    scratch === undefined
      ? `<disk name='${escapeXml(name)}' backup='no'/>`
      : `<disk name='${escapeXml(name)}' backup='yes' type='file' exportname='${escapeXml(name)}'>` +
        `<driver type='qcow2'/><scratch file='${escapeXml(scratch)}'/></disk>`,
  );
  const server = `<server transport='unix' socket='${escapeXml(socket)}'/>`;
  return `<domainbackup mode='pull'>${server}<disks>${each.join('')}</disks></domainbackup>`;
}

/**
 * Puts the key beside what reads the disks, and begins the backup. Journalled first.
 * @returns the socket at which the disks are; `null` where no disk of the VM can be written
 * @throws PluginError BUSY, NOT_MIGRATABLE
 */
export async function beginBackup(
  source: KvmSession,
  plan: DrillPlan,
  key: Buffer,
  context: MigrationContext,
  { signal }: Options,
): Promise<string | null> {
  const { names, domain, definition } = plan;
  const socket = await socketPath(source, plan, { signal });
  const scratch = plan.disks.flatMap((disk) => disk.scratch ?? []);
  await context.recordIntent({
    ...{ kind: 'backup', id: socket, end: 'source' },
    data: { vm: definition.uuid, scratch },
    byHand: byHand(definition.name, socket, [...scratch, names.keyDirectory.source]),
  });
  await context.assertCurrent();
  await putKey(source.transport, names.keyDirectory.source, key, { signal });
  if (scratch.length === 0) return null;
  for (const [directory, bytes] of scratchNeeds(plan.disks)) await assertRoom(source, directory, bytes, { signal });
  const client = await source.query({ signal });
  const wanted = new Map(plan.disks.map(({ name, scratch: file }: PlannedDisk) => [name, file]));
  const disks = definition.disks.map(({ name }) => ({ name, scratch: wanted.get(name) }));
  await context.assertCurrent();
  const backup = { domain, backupXml: backupRequest(socket, disks), checkpointXml: null, flags: 0 };
  await client.call('domainBackupBegin', backup, { signal });
  // Now the files of all drills are there; who has come at the same moment sees this one's.
  for (const directory of scratchNeeds(plan.disks).keys()) await assertRoom(source, directory, 0, { signal });
  return socket;
}

async function assertRoom(source: KvmSession, directory: string, bytes: number, { signal }: Options): Promise<void> {
  if ((await scratchRoom(source.transport, directory, { signal })) >= bytes) return;
  throw new PluginError('BUSY', `${directory} at the source has no room for what the VM overwrites meanwhile.`, {
    remedy: 'Free space there, set drill.scratchDirectory, or wait for other drills of this host.',
  });
}

const byHand = (vm: string, socket: string, files: readonly string[]): string =>
  `At the source host, if virsh backup-dumpxml ${vm} shows ${socket}, end that backup (virsh domjobabort ${vm}); then remove ${files.join(', ')}.`;

/** "Not there" is done; another backup is left alone. @throws PluginError BUSY when it does not end */
export async function endBackup(
  source: KvmSession,
  { id: socket, data }: PluginResource,
  names: DrillNames,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const scratch = Array.isArray(data.scratch) ? data.scratch.map(String) : [];
  if (basename(socket) !== socketName(names.tag) || !scratch.every((file) => isOwnFile(names, file))) {
    throw new PluginError('INVALID_CONFIG', `${socket} is no backup of this drill.`);
  }
  const patience = AbortSignal.any([signal, AbortSignal.timeout(END_TIMEOUT_MS)]);
  await endJob(source, String(data.vm), basename(socket), context, patience);
  await context.assertCurrent();
  for (const file of [...scratch, socket]) await removeFile(source.transport, file, { signal });
  await dropKey(source.transport, names.keyDirectory.source, { signal });
}

/** Until libvirt has neither this backup nor one that is only being begun, for a caller that may have died. */
async function endJob(
  source: KvmSession,
  vm: string,
  socket: string,
  context: MigrationContext,
  signal: AbortSignal,
): Promise<void> {
  const client = await source.query({ signal });
  let asked = false;
  for (;;) {
    if (signal.aborted)
      throw new PluginError('BUSY', 'The backup at the source does not end.', { cause: signal.reason });
    const domain = await client.lookup(vm, { signal });
    if (domain === null) return;
    const { type, params } = await client.jobStats(domain, 0, { signal });
    const backsUp = type !== JOB.none && numberOf(params, 'operation') === OPERATION.backup;
    const backup = await backupXml(source, domain, { signal });
    const isOurs = backup?.includes(socket) === true;
    if (isOurs && !asked) {
      asked = true;
      await context.assertCurrent();
      await abortBackup(source, domain, { signal });
    }
    if (!isOurs && (backup !== null || !backsUp)) return;
    await pause(LOOK_MS, signal);
  }
}

async function abortBackup(source: KvmSession, domain: DrillPlan['domain'], { signal }: Options): Promise<void> {
  const client = await source.query({ signal });
  try {
    await client.call('domainAbortJob', { domain }, { signal });
  } catch (error) {
    // It ended by itself, with the VM perhaps; looking again tells.
    if (!isFault(error, ERROR.OPERATION_INVALID, ERROR.NO_DOMAIN)) throw toPluginError(error, 'ending the backup');
  }
}
