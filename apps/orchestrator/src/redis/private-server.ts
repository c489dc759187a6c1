/**
 * A redis-server of our own, on a Unix socket in the data directory, that loses nothing that was acknowledged
 * (append-only, fsync on every write). It is told to end when the orchestrator exits, and survives its SIGKILL; the next start
 * ends it in an orderly way before another one opens the same files. This module owns the process and restarts it when it dies:
 * at once, after growing pauses when it does so again and again, and not before there is room for its files.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describeError, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { onceAMinute } from '../once-a-minute.ts';
import { commandLine, endProcess, identify } from './processes.ts';
import { demandRoom } from './room.ts';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 30_000;
/** One that could not be started is tried again after so long. */
const TRY_AGAIN_MS = 1_000;
/** One that has lived for so long ends for reasons of its own, not for those of the one before. */
const WELL_AFTER_MS = 60_000;
const LONGEST_PAUSE_MS = 10_000;

/** Before one is started again. @param times how often it has ended soon after its start */
const pauseMs = (times: number): number => (times === 0 ? 0 : Math.min(250 * 2 ** times, LONGEST_PAUSE_MS));
/** sun_path of unix(7) holds 108 bytes with its terminator. */
const LONGEST_SOCKET_PATH = 107;

export interface PrivateRedis {
  readonly kind: 'socket';
  readonly socketPath: string;
  /** Why it does not run now, in whole sentences; `undefined` while it does. */
  trouble(): string | undefined;
  /** Ends the server after it has written everything. */
  stop(): Promise<void>;
}

/** What it writes when it is asked for a snapshot, and what an empty one that keeps no append-only file begins with. */
export const SNAPSHOT = 'dump.rdb';

const configuration = (directory: string, socketPath: string, keepsFile: boolean): string =>
  [
    'port 0',
    `unixsocket "${socketPath}"`,
    'unixsocketperm 600',
    `dir "${directory}"`,
    `pidfile "${join(directory, 'redis.pid')}"`,
    `logfile "${join(directory, 'redis.log')}"`,
    'daemonize no',
    `dbfilename ${SNAPSHOT}`,
    `appendonly ${keepsFile ? 'yes' : 'no'}`,
    'appendfsync always',
    'save ""',
    'maxmemory-policy noeviction',
    'databases 1',
  ].join('\n');

/** Ends a server that an earlier orchestrator left behind; recognised by the socket path in its title. */
async function endFormer(directory: string, socketPath: string, log: Logger): Promise<void> {
  const text = await readFile(join(directory, 'redis.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid)) return;
  const former = await identify(pid);
  if (former === undefined || !(await commandLine(pid)).includes(socketPath)) return;
  log.info({ pid }, 'ending the private Redis of an earlier run');
  await endProcess(former, { politeMs: STOP_TIMEOUT_MS });
}

const logFile = (directory: string): string => resolve(directory, 'redis.log');

async function waitUntilReady(directory: string, socketPath: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const probe = new Redis({ path: socketPath, lazyConnect: true, retryStrategy: () => null });
    probe.on('error', () => undefined); // not there yet: the loop tries again
    try {
      await probe.connect();
      await probe.ping();
      return;
    } catch {
      await sleep(20); // still loading, or not listening yet
    } finally {
      probe.disconnect();
    }
  }
  throw new LmasError('REDIS_START_FAILED', `The private redis-server did not answer; see ${logFile(directory)}.`);
}

/** @throws LmasError REDIS_START_FAILED */
export async function startPrivateRedis(
  program: string,
  dataDir: string,
  log: Logger,
  { keepsFile = true }: { keepsFile?: boolean } = {},
): Promise<PrivateRedis> {
  const directory = join(dataDir, 'redis');
  const socketPath = join(directory, 'redis.sock');
  if (Buffer.byteLength(socketPath) > LONGEST_SOCKET_PATH) {
    throw new LmasError('REDIS_START_FAILED', `The path of its socket is too long: ${socketPath}`);
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await endFormer(directory, socketPath, log);

  const stopping = new AbortController();
  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  const sayEnded = onceAMinute((how) => log.error({ how }, 'the private Redis ended by itself; starting it again'));
  const sayStuck = onceAMinute((err) => log.error({ err }, 'the private Redis does not start'));
  let trouble: string | undefined;
  let [endings, launchedAt] = [0, 0];
  let child: ChildProcess;
  let reviving = Promise.resolve();
  const launch = async (): Promise<void> => {
    // Its own process group: Ctrl-C in a terminal must reach Redis after us, not with us.
    child = spawn(program, ['-'], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    const failed = new Promise<never>((_, reject) => {
      child.once('error', (cause) =>
        reject(
          new LmasError('REDIS_START_FAILED', `Cannot run ${program}.`, { cause, remedy: 'Install redis-server.' }),
        ),
      );
    });
    child.stdin?.on('error', () => undefined); // reported by 'error' or by the exit
    child.stdin?.end(configuration(directory, socketPath, keepsFile));
    await Promise.race([waitUntilReady(directory, socketPath, child), failed]);
    [trouble, launchedAt] = [undefined, performance.now()];
    child.once('exit', (code, signal) => {
      reviving = revive(signal ?? `exit code ${code}`);
    });
  };
  const revive = async (how: string): Promise<void> => {
    if (stopping.signal.aborted) return;
    if (performance.now() - launchedAt > WELL_AFTER_MS) endings = 0;
    trouble = `It ended by itself (${how}); see ${logFile(directory)}.`;
    sayEnded(how);
    await pause(pauseMs(endings++));
    while (!stopping.signal.aborted) {
      try {
        await demandRoom(directory);
        if (!stopping.signal.aborted) await launch();
        return;
      } catch (error) {
        const { message, remedy } = describeError(error);
        trouble = [message, remedy].filter((text) => text !== null).join(' ');
        sayStuck(trouble);
        await pause(TRY_AGAIN_MS);
      }
    }
  };
  const leaveNone = (): void => void child.kill(); // by SIGTERM: it writes everything down, and is waited for by the next start
  process.on('exit', leaveNone);
  await launch().catch(async (error: unknown) => {
    await demandRoom(directory);
    throw error;
  });
  return {
    kind: 'socket',
    socketPath,
    trouble: () => trouble,
    stop: async () => {
      stopping.abort();
      const identity = child.pid === undefined ? undefined : await identify(child.pid);
      if (identity !== undefined) await endProcess(identity, { politeMs: STOP_TIMEOUT_MS });
      await reviving;
      process.off('exit', leaveNone);
    },
  };
}

/**
 * Makes the records of a snapshot that lies in its directory those of the append-only file, which begins with them.
 * @throws LmasError REDIS_START_FAILED, also when the snapshot is none
 */
export async function adoptSnapshot(program: string, dataDir: string, log: Logger): Promise<void> {
  const server = await startPrivateRedis(program, dataDir, log, { keepsFile: false });
  const redis = new Redis({ path: server.socketPath });
  redis.on('error', () => undefined); // told by the calls
  try {
    await redis.config('SET', 'appendonly', 'yes');
    for (;;) {
      const info = await redis.info('persistence');
      const isWriting = /aof_rewrite_in_progress:1|aof_rewrite_scheduled:1/.test(info);
      if (!isWriting && info.includes('aof_enabled:1') && info.includes('aof_last_bgrewrite_status:ok')) break;
      if (!isWriting && info.includes('aof_last_bgrewrite_status:err')) {
        throw new LmasError('REDIS_START_FAILED', 'The append-only file could not be begun; see redis/redis.log.');
      }
      await sleep(50);
    }
  } finally {
    redis.disconnect();
    await server.stop();
  }
}
