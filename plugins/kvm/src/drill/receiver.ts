/**
 * What receives the disks at the destination: one qemu-nbd for each, at the address where the host receives migrations. Only
 * who has the drill's key is let in, and what crosses is encrypted from host to host (key.ts).
 *
 * They are found again by the directory in their command lines, so that none outlives the record. `stopReceivers` first takes
 * the key away: one that was about to start then fails by itself.
 */
import { type Flow, type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { leasePorts, releasePorts } from '../migration/ports.ts';
import type { KvmSession } from '../session.ts';
import { failed, putKey } from './key.ts';
import type { DrillNames } from './names.ts';
import type { PlannedDisk } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

/**
 * Opens the file as `cache=none` does. What is acknowledged is then on the disk: of a slow one nothing waits in memory to be written when all
 * seems to have crossed, for minutes in which nothing can be seen to move.
 */
const GOES_AROUND_CACHE = 'exec dd if="$1" of=/dev/null count=0 iflag=direct 2>/dev/null';

/** `writethrough` says the same on file systems that do not go around the cache; it is slower. */
export async function cacheFor(
  destination: Pick<KvmSession, 'transport'>,
  path: string,
  { signal }: Options,
): Promise<'none' | 'writethrough'> {
  const { exitCode } = await destination.transport.exec(['sh', '-c', GOES_AROUND_CACHE, 'sh', path], { signal });
  return exitCode === 0 ? 'none' : 'writethrough';
}

/** A port may be taken by somebody else: then another one. */
const ATTEMPTS = 3;
/** One is ours; whoever holds others without the key must not keep it out. */
const MAX_CLIENTS = 16;

/** Ports that a drill of this process has leased, by its directory. */
const leases = new Map<string, number[]>();

export const flowOf = (disk: string): string => `disk-${disk}`;

export function receiverResource({ keyDirectory }: DrillNames): PluginResource {
  const directory = keyDirectory.destination;
  return {
    ...{ kind: 'receiver', id: directory, end: 'destination', data: {} },
    byHand: `At the destination host end every qemu-nbd with ${directory} in its command line, and remove that directory.`,
  };
}

type ReceivedDisk = Pick<PlannedDisk, 'name' | 'to' | 'format'>;

/** Journalled first. On failure what was started is left to `release`. @throws PluginError */
export async function startReceivers(
  destination: KvmSession,
  names: DrillNames,
  disks: readonly ReceivedDisk[],
  key: Buffer,
  context: MigrationContext,
  { signal }: Options,
): Promise<Flow[]> {
  await context.recordIntent(receiverResource(names));
  await context.assertCurrent();
  await putKey(destination.transport, names.keyDirectory.destination, key, { signal });
  const flows: Flow[] = [];
  for (const disk of disks) {
    const { host, port } = await startOne(destination, names, disk, context, { signal });
    flows.push({ id: flowOf(disk.name), host, port, maxStreams: 1, priority: 'bulk' });
  }
  return flows;
}

async function startOne(
  destination: KvmSession,
  { keyDirectory }: DrillNames,
  disk: ReceivedDisk,
  context: MigrationContext,
  { signal }: Options,
): Promise<{ host: string; port: number }> {
  const host = destination.config.migrationAddress;
  const directory = keyDirectory.destination;
  const cache = await cacheFor(destination, disk.to, { signal });
  for (let attempt = 1; ; attempt += 1) {
    const [port = 0] = leasePorts(destination, 1);
    const command = [
      ...['qemu-nbd', '--fork', '--persistent', `--shared=${MAX_CLIENTS}`, `--bind=${host}`, `--port=${port}`],
      ...[`--pid-file=${directory}/${disk.name}.pid`, `--format=${disk.format}`, `--export-name=${disk.name}`],
      ...[
        `--cache=${cache}`,
        '--discard=unmap',
        '--object',
        `tls-creds-psk,id=tls,endpoint=server,dir=${directory}`,
        '--tls-creds=tls',
      ],
      ...['--', disk.to],
    ];
    await context.assertCurrent();
    // Noted before: where no answer comes, it may listen all the same.
    leases.set(directory, [...(leases.get(directory) ?? []), port]);
    const { exitCode, stderr } = await destination.transport.exec(command, { signal });
    if (exitCode === 0) return { host, port };
    releasePorts(destination, [port]);
    leases.set(
      directory,
      (leases.get(directory) ?? []).filter((each) => each !== port),
    );
    if (attempt >= ATTEMPTS) throw failed(`receiving ${disk.name} at ${host}`, stderr);
  }
}

/**
 * $1 the directory, $2 after how many tenths of a second one that has not ended is killed, $3 after how many this gives up.
 * The process that looks has the directory in its command line too: hence the look at the program's name.
 */
const STOP = `
rm -f -- "$1/keys.psk"
listening() {
  for file in $(grep -lzF -e "--pid-file=$1/" /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=\${file#/proc/}; pid=\${pid%/cmdline}
    case $(cat "/proc/$pid/comm" 2>/dev/null) in *qemu-nbd*) echo "$pid" ;; esac
  done
}
tenths=0
while pids=$(listening "$1"); [ -n "$pids" ]; do
  if [ $tenths -eq 0 ]; then kill $pids; elif [ $tenths -eq "$2" ]; then kill -KILL $pids; fi
  [ $tenths -lt "$3" ] || exit 6
  tenths=$((tenths + 1)); sleep 0.1
done 2>/dev/null
rm -f -- "$1"/*.pid
[ ! -d "$1" ] || rmdir -- "$1"
`;

/** A qemu-nbd writes the image's tables before it ends: nothing of them is lost within this time. */
const WRITE_TENTHS = 6_000;
const KILL_TENTHS = 50;

/**
 * "Not there" is done.
 * @param keepData whether the disks are still wanted: then none is killed that still writes
 * @throws PluginError BUSY when one does not end
 */
export async function stopReceivers(
  destination: KvmSession,
  directory: string,
  { signal, keepData }: Options & { readonly keepData: boolean },
): Promise<void> {
  const tenths = keepData ? [2 * WRITE_TENTHS, WRITE_TENTHS] : [KILL_TENTHS, 2 * KILL_TENTHS];
  const { exitCode, stderr } = await destination.transport.exec(
    ['sh', '-c', STOP, 'sh', directory, ...tenths.map(String)],
    { signal },
  );
  if (exitCode === 6)
    throw new PluginError('BUSY', `What receives the disks at ${destination.transport.peer} does not end.`);
  if (exitCode !== 0) throw failed('closing what receives the disks', stderr);
  releasePorts(destination, leases.get(directory) ?? []);
  leases.delete(directory);
}
