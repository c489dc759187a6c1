/**
 * Records the migration of a guest at work: QEMU sends it at a limited rate to a socket of ours, and what comes is a file. The downtime is kept
 * out of reach until the time is over, so that pass follows pass; then the guest may stop, and the stream is complete. The guest never goes on
 * anywhere. Owns QEMU, which is gone when it returns, whatever happens.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Qmp } from './qmp.ts';

export interface GuestOptions {
  readonly memoryMib: number;
  readonly kernel: string;
  readonly initrd?: string;
  readonly commandLine: string;
  /** What the guest says on its serial line when it is at work. */
  readonly atWork: RegExp;
}

export interface RecordingOptions {
  readonly bytesPerSec: number;
  /** How long pass may follow pass. */
  readonly seconds: number;
  /** QEMU's own page cache, of this size; null: off. */
  readonly xbzrleBytes: number | null;
  readonly signal: AbortSignal;
}

export interface Recording {
  readonly file: string;
  readonly passes: number;
  readonly seconds: number;
  /** Whether it came to its end by itself, before the time was over. */
  readonly converged: boolean;
}

/** Thirty milliseconds at the rate: what is left of a guest at work is more. */
const DOWNTIME_MS = 30;
const LONG_DOWNTIME_MS = 600_000;
const BOOT_TIMEOUT_MS = 180_000;
/** From here on the guest stands still, so only what is left has to be sent. */
const END_TIMEOUT_MS = 120_000;
const POLL_MS = 100;

const migrationSchema = z.object({
  status: z.string(),
  'error-desc': z.string().optional(),
  'total-time': z.number().optional(),
  ram: z.object({ 'dirty-sync-count': z.number() }).optional(),
});

/** @param directory for the sockets and the recording */
export async function record(directory: string, guest: GuestOptions, options: RecordingOptions): Promise<Recording> {
  const { signal } = options;
  const monitor = join(directory, 'monitor');
  const qemu = start(guest, monitor);
  try {
    await saysAtWork(qemu, guest.atWork, signal);
    await sleep(2_000, undefined, { signal });
    const qmp = await Qmp.open(monitor);
    try {
      return await migrateToFile(qmp, directory, options);
    } finally {
      qmp.close();
    }
  } finally {
    const runs = qemu.pid !== undefined && qemu.exitCode === null && qemu.signalCode === null;
    const ended = runs ? once(qemu, 'exit') : null;
    qemu.kill('SIGKILL');
    await ended;
  }
}

function start(guest: GuestOptions, monitor: string): ChildProcess {
  const args = [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-machine', 'pc'],
    // Not KVM: recordings of different machines are to be compared, and a KVM inside a VM may not run every guest.
    ...['-accel', 'tcg', '-cpu', 'max', '-m', `${guest.memoryMib}`],
    ...['-kernel', guest.kernel, '-append', guest.commandLine],
    ...(guest.initrd === undefined ? [] : ['-initrd', guest.initrd]),
    ...['-serial', 'stdio', '-qmp', `unix:${monitor},server=on,wait=off`],
  ];
  return spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Reads the serial line for as long as QEMU runs: a full pipe would hold the guest up. */
async function saysAtWork(qemu: ChildProcess, atWork: RegExp, signal: AbortSignal): Promise<void> {
  let said = '';
  const patience = AbortSignal.any([signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)]);
  const begun = new Promise<void>((resolve, reject) => {
    const giveUp = (why: string) => reject(new Error(`${why} The last that it said:\n${said.slice(-2_000)}`));
    const listen = (text: string) => {
      said = (said + text).slice(-100_000);
      if (atWork.test(said)) resolve();
    };
    qemu.stdout?.setEncoding('latin1').on('data', listen);
    qemu.stderr?.setEncoding('latin1').on('data', listen);
    qemu.on('error', reject);
    qemu.on('exit', () => giveUp('QEMU has ended before the guest was at work.'));
    patience.addEventListener('abort', () => giveUp('The guest did not come to work.'), { once: true });
  });
  await begun;
}

async function migrateToFile(qmp: Qmp, directory: string, options: RecordingOptions): Promise<Recording> {
  const file = join(directory, 'stream');
  const path = join(directory, 'destination');
  const server = createServer().listen(path);
  await once(server, 'listening');
  try {
    const connected = once(server, 'connection', { signal: options.signal }) as Promise<[Socket]>;
    if (options.xbzrleBytes !== null) {
      const capabilities = [{ capability: 'xbzrle', state: true }];
      await qmp.execute('migrate-set-capabilities', { capabilities });
      await qmp.execute('migrate-set-parameters', { 'xbzrle-cache-size': options.xbzrleBytes });
    }
    const parameters = { 'max-bandwidth': options.bytesPerSec, 'downtime-limit': DOWNTIME_MS };
    await qmp.execute('migrate-set-parameters', parameters);
    await qmp.execute('migrate', { uri: `unix:${path}` });
    const [socket] = await connected;
    const written = pipeline(socket, createWriteStream(file), { signal: options.signal });
    const [told] = await Promise.all([followed(qmp, options), written]);
    return { file, ...told };
  } finally {
    server.close();
  }
}

/** Until the migration is complete. */
async function followed(qmp: Qmp, { seconds, signal }: RecordingOptions): Promise<Omit<Recording, 'file'>> {
  const startedAt = performance.now();
  let converged = true;
  for (;;) {
    await sleep(POLL_MS, undefined, { signal });
    const migration = migrationSchema.parse(await qmp.execute('query-migrate'));
    const elapsedMs = performance.now() - startedAt;
    if (migration.status === 'completed') {
      const passes = migration.ram?.['dirty-sync-count'] ?? 0;
      return { passes, seconds: (migration['total-time'] ?? elapsedMs) / 1_000, converged };
    }
    const why = migration['error-desc'] ?? 'it took too long';
    if (migration.status === 'failed' || elapsedMs > seconds * 1_000 + END_TIMEOUT_MS)
      throw new Error(`QEMU could not send the guest: ${why}`);
    if (converged && elapsedMs > seconds * 1_000) {
      converged = false;
      await qmp.execute('migrate-set-parameters', { 'downtime-limit': LONG_DOWNTIME_MS });
    }
  }
}
