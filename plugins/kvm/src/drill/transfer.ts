/**
 * The disks cross: qemu-img at the source host reads one after the other and writes it to what receives it, through the route
 * that it was given. Empty parts are not sent. It belongs to our SSH channel, and ends with either end of what it copies.
 */
import { type MigrationProgress, PluginError, type Routes } from '@lmas/plugin-api';
import { toPluginError } from '../errors.ts';
import type { KvmSession } from '../session.ts';
import { watchWork } from './activity.ts';
import { KEY_USER } from './key.ts';
import { knowsZeroTargets } from './programs.ts';
import { flowOf } from './receiver.ts';
import type { DrillState, StateDisk } from './state.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** So many requests of 2 MiB may be under way: enough for 1 Gbit/s over a quarter of a second. The most that qemu-img takes. */
const REQUESTS = 16;

/** A value of QEMU's option syntax: a comma in it is doubled. */
const optionValue = (text: string): string => text.replaceAll(',', ',,');

function sourceOf({ via, from, fromFormat, name }: StateDisk, socket: string | null): string {
  if (via === 'backup') {
    return `driver=nbd,server.type=unix,server.path=${optionValue(socket ?? '')},export=${optionValue(name)}`;
  }
  const file = from.startsWith('/dev/') ? 'host_device' : 'file';
  return `driver=${optionValue(fromFormat)},file.driver=${file},file.filename=${optionValue(from)}`;
}

interface CopySettings {
  readonly bandwidthBytesPerSec: number | null;
  /** Whether qemu-img can be told that what it writes to is zero. */
  readonly toZero: boolean;
}

/**
 * `--target-is-zero`: a file that was made for this reads as zeros where nothing is written. A qemu-img that cannot be told so asks, two
 * GiB at a time. `-W`: each block goes when it is read.
 */
export function copyCommand(
  disk: StateDisk,
  { socket, keyDirectory }: Pick<DrillState, 'socket' | 'keyDirectory'>,
  route: { readonly host: string; readonly port: number },
  { bandwidthBytesPerSec, toZero }: CopySettings,
): string[] {
  const limit = bandwidthBytesPerSec === null ? [] : ['-r', String(Math.max(1, Math.floor(bandwidthBytesPerSec)))];
  const zero = toZero && !disk.isOverwritten ? ['--target-is-zero'] : [];
  const server = `server.type=inet,server.host=${optionValue(route.host)},server.port=${route.port}`;
  return [
    ...['qemu-img', 'convert', '-p', '-n', ...zero, '-W', '-m', String(REQUESTS), '-t', 'writeback', ...limit],
    ...['--object', `tls-creds-psk,id=tls,endpoint=client,dir=${optionValue(keyDirectory)},username=${KEY_USER}`],
    ...['--image-opts', '--target-image-opts', sourceOf(disk, socket)],
    `driver=nbd,${server},export=${optionValue(disk.name)},tls-creds=tls`,
  ];
}

/** qemu-img writes `    (12.34/100%)` and a carriage return, again and again. */
export function readPercent(output: string): number | undefined {
  const last = [...output.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)?.[1];
  return last === undefined ? undefined : Math.min(100, Number(last));
}

type Sent = Pick<DrillState, 'disks' | 'keyDirectory' | 'socket'>;

interface TransferOptions extends Options {
  readonly onProgress: (progress: MigrationProgress) => void;
  readonly onWork?: () => void;
}

/** @throws PluginError ABORTED, STREAM_FAILED, CONNECTION_LOST */
export async function transfer(
  source: KvmSession,
  state: Sent,
  routes: Routes,
  bandwidthBytesPerSec: number | null,
  { signal, onProgress, onWork = () => undefined }: TransferOptions,
): Promise<void> {
  const meter = new Meter(state.disks, onProgress);
  const settings = { bandwidthBytesPerSec, toZero: await knowsZeroTargets(source.transport, { signal }) };
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const watching = watchWork(source.transport, state.keyDirectory, onWork, { signal: until });
  try {
    await transferAll(source, state, routes, { settings, meter, signal });
  } finally {
    over.abort();
    await watching;
  }
}

async function transferAll(
  source: KvmSession,
  state: Sent,
  routes: Routes,
  { settings, meter, signal }: Options & { readonly settings: CopySettings; readonly meter: Meter },
): Promise<void> {
  for (const disk of state.disks) {
    const route = routes[flowOf(disk.name)];
    if (route === undefined) throw new PluginError('INVALID_CONFIG', `There is no route for ${disk.name}.`);
    const command = copyCommand(disk, state, route, settings);
    const onStdout = (chunk: Buffer): void => meter.at(disk, readPercent(chunk.toString('latin1')));
    const { exitCode, stderr } = await run(source, command, { signal, onStdout });
    if (exitCode !== 0) {
      const why = stderr.toString('utf8').trim().slice(0, 500);
      throw new PluginError('STREAM_FAILED', `Copying ${disk.name}: ${why || 'qemu-img was ended'}`);
    }
    meter.at(disk, 100);
  }
}

async function run(
  source: KvmSession,
  command: readonly string[],
  options: Options & { onStdout(chunk: Buffer): void },
) {
  try {
    return await source.transport.exec(command, options);
  } catch (error) {
    if (options.signal.aborted) throw new PluginError('ABORTED', 'The copying was stopped.', { cause: error });
    throw toPluginError(error, 'copying the disks');
  }
}

/** Adds the disks up, and never goes back. */
class Meter {
  readonly #done = new Map<string, number>();
  readonly #disks: readonly StateDisk[];
  readonly #report: (progress: MigrationProgress) => void;
  readonly #started = performance.now();

  constructor(disks: readonly StateDisk[], report: (progress: MigrationProgress) => void) {
    this.#disks = disks;
    this.#report = report;
  }

  at({ name }: StateDisk, percent: number | undefined): void {
    if (percent === undefined || percent < (this.#done.get(name) ?? 0)) return;
    this.#done.set(name, percent);
    const total = this.#disks.reduce((sum, { bytes }) => sum + bytes, 0);
    const sent = this.#disks.reduce((sum, disk) => sum + (disk.bytes * (this.#done.get(disk.name) ?? 0)) / 100, 0);
    const seconds = (performance.now() - this.#started) / 1000;
    this.#report({
      ...{ stage: 'disks', iteration: null, dirtyRateBytesPerSec: null },
      percent: total === 0 ? 100 : (100 * sent) / total,
      ...{ bytesTotal: total, bytesTransferred: Math.round(sent), bytesRemaining: Math.round(total - sent) },
      rateBytesPerSec: seconds > 0 ? sent / seconds : null,
    });
  }
}
