/**
 * The life of the process: command line, signals, lease, and the one place where the objects of a gateway are wired together.
 * Whatever the way out, the control socket is removed and the peer is told.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { statusSchema } from '@lmas/gateway-api';
import { ControlServer } from './control/server.ts';
import { renderStatus } from './control/status-text.ts';
import { examine, type Mode } from './doctor/checks.ts';
import { renderReport, works } from './doctor/report.ts';
import { messageOf } from './errors.ts';
import { Gateway } from './gateway.ts';
import { help } from './help.ts';
import { Lease } from './lease.ts';
import { createLog, type Level, type Log } from './log.ts';
import { giveBackMemory } from './platform/heap.ts';
import { nativeSockets } from './platform/sockets.ts';
import { removeBarrier } from './proxy/transparent/barrier.ts';
import { sweepDead } from './proxy/transparent/kernel-state.ts';
import { makeIdentity } from './security/certificate.ts';
import { aeadImplementation } from './security/sealing.ts';
import { loadStaticConfig, type StaticConfig } from './static-config.ts';
import { version } from './version.ts';

/** Longer than any migration takes: an expired certificate would end a channel that has to be re-established. */
const orchestratedValidDays = 90;
/** A thousand years; certificates know years of four digits. */
const longestValidDays = 365_000;
const defaultLeaseMs = 60_000;
const sessionRestartMs = 1_000;
/** Also those of a terminal that goes away: what is killed leaves its rules behind. Node lets no parent have them ignored, as nohup would. */
const endingSignals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
/** The gateway answers at once, or it is stopped. */
const statusTimeoutMs = 5_000;
/** Longer than a lull in a migration: the pause is not worth it while data flows. */
const giveBackMs = 15_000;
const watchIntervalMs = 1_000;
const clearScreen = '\u001b[2J\u001b[H';

interface Options {
  barrier?: string;
  control?: string;
  config?: string;
  'lease-ms'?: string;
  'log-file'?: string;
  'log-level'?: string;
  out?: string;
  days?: string;
  mode?: string;
  json?: boolean;
  watch?: boolean;
}

class UsageError extends Error {}

function positive(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0) throw new UsageError(`${name} wants a positive whole number.`);
  return value;
}

function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new UsageError(`${name} is missing.`);
  return value;
}

function logOf(options: Options): Log {
  const level = options['log-level'] ?? 'info';
  if (!['debug', 'info', 'warn', 'error'].includes(level))
    throw new UsageError('--log-level: debug, info, warn or error.');
  return createLog(options['log-file'] ?? null, level as Level);
}

/** Resolves when the process was asked to end; `end` is how anybody asks. */
function ending(log: Log): { ended: Promise<void>; end: (why: string) => void } {
  let resolve: () => void = () => undefined;
  const ended = new Promise<void>((done) => {
    resolve = done;
  });
  const end = (why: string) => {
    log.info('ending', { why });
    resolve();
  };
  for (const signal of endingSignals) process.once(signal, () => end(signal));
  return { ended, end };
}

/** What a gateway does first, whoever started it. */
function begin(log: Log): void {
  log.info('gateway', { version, pid: process.pid, node: process.version, aead: aeadImplementation(), nativeSockets });
  sweep(log);
  setInterval(giveBackMemory, giveBackMs).unref();
}

async function run(options: Options): Promise<void> {
  const socketPath = required(options.control, '--control');
  const leaseMs = positive(options['lease-ms'], defaultLeaseMs, '--lease-ms');
  const log = logOf(options);
  begin(log);
  const { ended, end } = ending(log);
  const lease = new Lease(leaseMs, () => end('lease'));
  const gateway = new Gateway({ identity: makeIdentity(orchestratedValidDays), lease, log });
  const server = new ControlServer(socketPath, gateway, log, () => end('asked to'));
  await server.listen();
  await ended;
  lease.stop();
  gateway.shutdown();
  await server.close();
}

async function runStatic(file: string, options: Options): Promise<void> {
  const config = loadStaticConfig(file);
  const log = logOf(options);
  begin(log);
  const { ended, end } = ending(log);
  const gateway = new Gateway({ identity: config.identity, lease: new Lease(null, () => undefined), log });
  const server =
    config.controlSocket === null ? null : new ControlServer(config.controlSocket, gateway, log, () => end('asked to'));
  await server?.listen();
  try {
    await keepSession(gateway, config, log, ended);
  } finally {
    gateway.shutdown();
    await server?.close();
  }
}

/** Routes and session, begun again when it was lost, until `ended`. Rejects when they cannot be had at the start. */
async function keepSession(gateway: Gateway, config: StaticConfig, log: Log, ended: Promise<void>): Promise<void> {
  for (const [id, route] of config.routes) await gateway.putRoute(id, route);
  await gateway.configureSession(config.session);
  const restart = setInterval(() => {
    gateway.renewSession(config.session).catch((error) => log.error('session', { message: messageOf(error) }));
  }, sessionRestartMs);
  await ended;
  clearInterval(restart);
}

/** A gateway that was killed could not undo its rules. */
function sweep(log: Log): void {
  try {
    const removed = sweepDead();
    if (removed.length > 0) log.warn('removed what a killed gateway left', { removed });
  } catch (error) {
    // Without nft or the right to use it there is nothing of ours either.
    log.debug('not swept', { message: messageOf(error) });
  }
}

/** Exit status 1 when something is missing for a mode that was asked for; without --mode, for either. */
function doctor(options: Options): void {
  const { mode } = options;
  if (mode !== undefined && mode !== 'redirected' && mode !== 'transparent') {
    throw new UsageError('--mode: redirected or transparent.');
  }
  const modes: Mode[] = mode === undefined ? ['redirected', 'transparent'] : [mode];
  const found = modes.map((one) => ({ mode: one, checks: examine(one) }));
  const text =
    options.json === true
      ? `${JSON.stringify(found, null, 2)}\n`
      : found.map((one) => renderReport(one.mode, one.checks)).join('\n');
  process.stdout.write(text);
  if (!found.every(({ checks }) => works(checks))) process.exitCode = 1;
}

function clean({ barrier }: Options): void {
  const removed = barrier === undefined ? sweepDead() : removeBarrier(barrier).map((table) => `table inet ${table}`);
  for (const what of removed) process.stdout.write(`removed ${what}\n`);
  if (barrier !== undefined && removed.length === 0) process.stderr.write(`There is no barrier ${barrier} here.\n`);
}

function keygen(options: Options): void {
  const directory = required(options.out, '--out');
  const days = positive(options.days, 3650, '--days');
  if (days > longestValidDays) throw new UsageError(`--days wants at most ${longestValidDays}.`);
  const identity = makeIdentity(days);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [key, certificate] = [path.join(directory, 'key.pem'), path.join(directory, 'certificate.pem')];
  const there = [key, certificate].find((file) => existsSync(file));
  if (there !== undefined) {
    throw new Error(
      `${there} is there already, and the peer may have pinned it. Choose another directory, or remove both files first.`,
    );
  }
  writeFileSync(key, identity.keyPem, { mode: 0o600, flag: 'wx' });
  writeFileSync(certificate, identity.certificatePem, { mode: 0o644, flag: 'wx' });
  process.stdout.write(`${directory}/certificate.pem  SHA-256 ${identity.certificateSha256}\n`);
}

/** Prints the status: once, or again and again until somebody ends it. */
async function status(options: Options): Promise<void> {
  const socketPath = required(options.control, '--control');
  for (;;) {
    const { text, ok } = await askStatus(socketPath);
    if (!ok) throw new Error(`The gateway answered: ${text}`);
    const answer = statusSchema.parse(JSON.parse(text));
    const shown =
      options.json === true ? JSON.stringify(answer, null, options.watch === true ? 0 : 2) : renderStatus(answer);
    const home = options.watch === true && options.json !== true && process.stdout.isTTY ? clearScreen : '';
    process.stdout.write(`${home}${shown}\n`);
    if (options.watch !== true) return;
    await sleep(watchIntervalMs);
  }
}

function askStatus(socketPath: string): Promise<{ text: string; ok: boolean }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(statusTimeoutMs);
    const request = http.get({ socketPath, path: '/v1/status', agent: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({ text: Buffer.concat(chunks).toString('utf8'), ok: response.statusCode === 200 });
      });
    });
    request.once('error', (cause) => {
      const what = signal.aborted
        ? `The gateway on ${socketPath} has not answered for ${statusTimeoutMs / 1_000} s. Is its process stopped (ps, state T), or without a processor?`
        : `No gateway answers on ${socketPath} (${messageOf(cause)}).`;
      reject(new Error(what, { cause }));
    });
  });
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseCommandLine(args);
  if (values.help === true) process.stdout.write(help);
  else if (values.version === true) process.stdout.write(`${version}\n`);
  else if (positionals.length > 1) throw new UsageError('One command at a time.');
  else if (values.config !== undefined && positionals.length === 0) await runStatic(values.config, values);
  else if (positionals[0] === 'run') await run(values);
  else if (positionals[0] === 'status') await status(values);
  else if (positionals[0] === 'keygen') keygen(values);
  else if (positionals[0] === 'clean') clean(values);
  else if (positionals[0] === 'doctor') doctor(values);
  else
    throw new UsageError(positionals.length === 0 ? 'A command is missing.' : `There is no command ${positionals[0]}.`);
}

function parseCommandLine(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        barrier: text,
        control: text,
        config: text,
        'lease-ms': text,
        'log-file': text,
        'log-level': text,
        out: text,
        days: text,
        mode: text,
        json: flag,
        watch: flag,
        version: flag,
        help: flag,
      },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

try {
  await main(process.argv.slice(2));
  // Nothing may hold the process back once it has been told to end.
  process.exit();
} catch (error) {
  const usage = error instanceof UsageError;
  process.stderr.write(`lmas-gateway: ${messageOf(error)}${usage ? ' Try --help.' : ''}\n`);
  process.exit(usage ? 2 : 1);
}
