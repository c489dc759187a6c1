/**
 * One Dom0 over SSH: sends our program with a job, takes its answer, checks its shape. Nothing stays at the host but what
 * the program says it leaves. Owns the SSH connection, which `close` ends.
 */
import { type ConnectContext, PluginError } from '@lmas/plugin-api';
import { connectSsh, type SshConnection, takeOver } from '@lmas/ssh';
import { z } from 'zod';
import type { XlConfig } from './config.ts';
import { toPluginError, XlRefusal } from './errors.ts';
import { BOOT, PROGRAM } from './program.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** Isolated: what lies in root's home is no part of the program. */
const PYTHON = ['python3', '-I', '-c', BOOT] as const;
/** What the shell says of a program that is not there. */
const NOT_FOUND = 127;
/**
 * A run that cannot be marked at a host waits for so long before the next one acts there. sshd notices a dead client when TCP
 * does; a stopped one it never notices, so this covers no more than calls that were on their way.
 */
const UNMARKED_WAIT_MS = 40_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

export const worker = z.enum(['none', 'listening', 'working', 'ended']);

/** Copies that receivers of ours left at a host, paused, when they ended without having let them go. They may be gone since. */
const leftSchema = z.array(z.object({ migration: z.string(), domid: z.int() }));
export type Left = z.infer<typeof leftSchema>[number];

export const lookSchema = z.object({
  send: worker,
  receive: worker,
  /** At the source: the message that gives the guest away has left it, and may have arrived. */
  given: z.boolean(),
  /** At the destination: what its xl reported of the start of the copy; 0: it ran. Anything else: it never did, and is taken away. */
  report: z.int().nullable(),
  /** At the destination: a copy that had come and never ran was destroyed. */
  discarded: z.boolean(),
  left: leftSchema,
  /** At the destination: those of this migration; `null` where its receiver did not come to look for them. */
  kept: z.array(z.int()).nullable(),
  /** At the source: whether its xl has failed and left the guest suspended; `null`: nobody saw it. */
  stood: z.boolean().nullable(),
  /** At the source: its xl may have renamed the guest. */
  ready: z.boolean(),
  /** Calls of xl that are not ours, and save the guest or send it away. */
  others: z.array(z.string()),
  sent: z.int().nullable(),
  list: z.string(),
});
export type Look = z.infer<typeof lookSchema>;

export const descriptionSchema = z.object({
  list: z.string(),
  configs: z.string(),
  info: z.string(),
  /** Looked at only when `all` is asked for. */
  resumes: z.boolean(),
  interfaces: z.array(z.string()),
  missing: z.array(z.string()),
  autostart: z.array(z.string()),
  /** Why no other guest could be received now. */
  receiving: z.string().nullable(),
  left: leftSchema,
  root: z.boolean(),
  bindable: z.int(),
  /** As of `look`, of the guest that was asked for. */
  others: z.array(z.string()),
  /** `mine`: nobody else writes there. `inMemory`: a reboot empties it. */
  runDirectory: z.object({ writable: z.boolean(), mine: z.boolean(), kind: z.string(), inMemory: z.boolean() }),
});
export type Description = z.infer<typeof descriptionSchema>;

export const sampleSchema = z.object({
  /** Seconds, of a clock that only goes forward. */
  at: z.number(),
  list: z.string(),
  /** Bytes in both directions, by domain. */
  traffic: z.record(z.string(), z.int()),
});

const refusalSchema = z.object({ refused: z.string(), busy: z.boolean() });
const followSchema = z.union([
  z.object({ sent: z.int() }),
  z.object({ exit: z.int().nullable(), log: z.string() }),
  refusalSchema,
]);

export interface XlEnd {
  /** `null`: nobody saw it, xl was killed. */
  readonly exit: number | null;
  /** The last it said. */
  readonly log: string;
}

export class Dom0 {
  readonly peer: string;
  readonly closed: AbortSignal;
  readonly #ssh: SshConnection | Error;
  readonly #config: XlConfig;

  /** @param ssh an error stands for a host that could not be connected to: every question is answered with it */
  constructor(config: XlConfig, ssh: SshConnection | Error) {
    this.#config = config;
    this.#ssh = ssh;
    this.peer = ssh instanceof Error ? config.host : ssh.peer;
    const closed = new AbortController();
    this.closed = closed.signal;
    if (ssh instanceof Error) {
      closed.abort(ssh);
      return;
    }
    const onLost = (): void => closed.abort(toPluginError(ssh.closed.reason, 'SSH'));
    if (ssh.closed.aborted) onLost();
    else ssh.closed.addEventListener('abort', onLost, { once: true });
  }

  /** @throws PluginError UNREACHABLE, HOST_KEY_MISMATCH, LOGIN_REFUSED, INVALID_CONFIG, TIMEOUT, SUPERSEDED, ABORTED */
  static async connect(config: XlConfig, { credential, log, run }: ConnectContext, options: Options): Promise<Dom0> {
    const { host, port, hostKeys } = config;
    let ssh: SshConnection | undefined;
    try {
      ssh = await connectSsh({ host, port, hostKeys, credential, log }, options);
      if (run !== undefined) await takeOver(ssh, run, { ...options, log, unmarkedWaitMs: UNMARKED_WAIT_MS });
      const dom0 = new Dom0(config, ssh);
      await dom0.ask('look', {}, lookSchema, options); // neither Python nor xl shall turn out to be missing later
      return dom0;
    } catch (error) {
      await ssh?.close();
      throw toPluginError(error, `connecting to ${host}`);
    }
  }

  /** @throws XlRefusal with the program's or xl's own words; SshError; PluginError INVALID_CONFIG without Python */
  async ask<T>(verb: string, job: object, shape: z.ZodType<T>, { signal }: Options): Promise<T> {
    const { exitCode, stdout, stderr } = await this.#connection().exec(PYTHON, {
      ...{ signal, stdin: this.#input(verb, job), maxOutputBytes: MAX_ANSWER_BYTES },
    });
    const words = stderr.toString('utf8').trim().slice(-500);
    if (exitCode === NOT_FOUND) {
      throw new PluginError('INVALID_CONFIG', `${this.peer} has no python3: ${words}`, {
        remedy: 'Install python3 in the control domain; Xen’s own tools come with it on most distributions.',
      });
    }
    if (exitCode !== 0) throw new XlRefusal(`${verb} at ${this.peer} ended with ${exitCode}: ${words}`);
    return this.#parse(stdout.toString('utf8'), shape, verb);
  }

  /** Follows `xl migrate` of a migration to its end. */
  async follow(migration: string, onSent: (bytes: number) => void, { signal }: Options): Promise<XlEnd> {
    const stream = await this.#connection().start(PYTHON, { signal });
    const stop = (): void => void stream.destroy();
    signal.addEventListener('abort', stop, { once: true });
    stream.end(this.#input('follow', { migration }));
    try {
      const end = await this.#readToTheEnd(stream, onSent);
      if (end !== undefined) return end;
    } catch (error) {
      if (error instanceof XlRefusal) throw error; // any other one is the connection's end
    } finally {
      signal.removeEventListener('abort', stop);
      stream.on('error', () => undefined).destroy();
    }
    signal.throwIfAborted();
    throw new PluginError('CONNECTION_LOST', `${this.peer} stopped telling how xl migrate goes on.`);
  }

  async #readToTheEnd(stream: AsyncIterable<Buffer>, onSent: (bytes: number) => void): Promise<XlEnd | undefined> {
    let rest = '';
    for await (const chunk of stream) {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const told = this.#parse(line, followSchema, 'follow');
        if ('sent' in told) onSent(told.sent);
        else if ('exit' in told) return told;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    if (!(this.#ssh instanceof Error)) await this.#ssh.close();
  }

  #connection(): SshConnection {
    if (this.#ssh instanceof Error) throw this.#ssh;
    return this.#ssh;
  }

  #input(verb: string, job: object): string {
    const { xlPath: xl, runDirectory, lockPath } = this.#config;
    return JSON.stringify({ ...job, verb, xl, runDirectory, lockPath, ...PROGRAM });
  }

  #parse<T>(text: string, shape: z.ZodType<T>, verb: string): T {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new XlRefusal(`${verb} at ${this.peer} answered "${text.trim().slice(0, 200)}"`);
    }
    const refusal = refusalSchema.safeParse(value);
    if (refusal.success) throw new XlRefusal(`${this.peer}: ${refusal.data.refused}`, refusal.data);
    const parsed = shape.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new XlRefusal(`${verb} at ${this.peer} answered in an unknown shape: ${parsed.error.message}`);
  }
}
