/**
 * Speaks a gateway's control API: HTTP/1.1 over a channel of the SSH connection that ends at the gateway's Unix socket.
 * One channel per call, owned by the call. Every changing call carries the fencing token.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  FENCING_TOKEN_HEADER,
  identitySchema,
  type Limits,
  probeResultSchema,
  problemSchema,
  type RouteConfig,
  routeStateSchema,
  type SessionConfig,
  sessionStateSchema,
  statusSchema,
} from '@lmas/gateway-api';
import { type SshConnection, sshErrorCode } from '@lmas/ssh';
import { z } from 'zod';
import { errorCode, LmasError } from '../errors.ts';
import type { Gateway, GatewayAddress } from './gateway.ts';
import type { SshPool } from './ssh-pool.ts';

const MAX_ANSWER_BYTES = 1 << 20;
/** A full backlog refuses as well, once. */
const REFUSALS_OF_THE_DEAD = 3;
const KNOCK_AGAIN_MS = 300;
const REACH_AGAIN_MS = 1_000;
const nothing = z.unknown();

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

export class ControlClient implements Gateway {
  readonly address: GatewayAddress;
  readonly barrierName: string;
  readonly #pool: SshPool;
  readonly #socketPath: string;
  readonly #token: number;

  constructor(
    pool: SshPool,
    address: GatewayAddress,
    { socketPath, barrierName, token }: { socketPath: string; barrierName: string; token: number },
  ) {
    this.#pool = pool;
    this.address = address;
    this.barrierName = barrierName;
    this.#socketPath = socketPath;
    this.#token = token;
  }

  identity({ signal }: { signal: AbortSignal }) {
    return this.#call('GET', '/v1/identity', undefined, identitySchema, signal);
  }

  configure(session: SessionConfig, { signal }: { signal: AbortSignal }) {
    return this.#call('PUT', '/v1/session', session, sessionStateSchema, signal);
  }

  putRoute(id: string, route: RouteConfig, { signal }: { signal: AbortSignal }) {
    return this.#call('PUT', `/v1/routes/${encodeURIComponent(id)}`, route, routeStateSchema, signal);
  }

  async removeRoute(id: string, { signal }: { signal: AbortSignal }) {
    await this.#call('DELETE', `/v1/routes/${encodeURIComponent(id)}`, undefined, nothing, signal);
  }

  async renewLease(leaseMs: number, { signal }: { signal: AbortSignal }): Promise<void> {
    await this.#call('POST', '/v1/lease', { leaseMs }, nothing, signal);
  }

  status({ signal }: { signal: AbortSignal }) {
    return this.#call('GET', '/v1/status', undefined, statusSchema, signal);
  }

  async setLimits(limits: Limits, { signal }: { signal: AbortSignal }): Promise<void> {
    await this.#call('PUT', '/v1/limits', limits, nothing, signal);
  }

  probe(durationMs: number, { signal }: { signal: AbortSignal }) {
    return this.#call('POST', '/v1/probe', { durationMs }, probeResultSchema, signal);
  }

  async gone({ signal }: { signal: AbortSignal }): Promise<void> {
    let watched: string | undefined;
    let refusals = 0;
    while (refusals < REFUSALS_OF_THE_DEAD) {
      try {
        const there = await this.#stayConnected(watched, signal);
        watched ??= there;
        if (there !== watched) return;
        refusals = 0;
      } catch (error) {
        signal.throwIfAborted();
        // Another run speaks to what answers there.
        if (watched !== undefined && errorCode(error) === 'SUPERSEDED') return;
        refusals = errorCode(error) === 'GATEWAY_ENDED' ? refusals + 1 : 0;
      }
      await sleep(refusals === 0 ? REACH_AGAIN_MS : KNOCK_AGAIN_MS, undefined, { signal });
    }
  }

  /**
   * Holds a channel to the control socket and says nothing: it closes with the process, or when the gateway tires of us.
   * @param watched the one that is expected there; it does not stay with another
   * @returns which one is there: each makes a certificate of its own
   */
  async #stayConnected(watched: string | undefined, signal: AbortSignal): Promise<string> {
    return await this.#pool.use(this.address.site, signal, async (connection) => {
      const channel = await this.#open(connection, signal);
      const stop = AbortSignal.any([signal, connection.closed]);
      const destroy = () => channel.destroy();
      stop.addEventListener('abort', destroy, { once: true });
      try {
        if (stop.aborted) destroy();
        // The far side ends first; sshd keeps ours open for what we might still say. However it ended, the next knock tells.
        const ended = finished(channel.resume(), { writable: false }).catch(() => undefined);
        const { certificateSha256 } = await this.identity({ signal });
        if (certificateSha256 === (watched ?? certificateSha256)) await ended;
        return certificateSha256;
      } finally {
        stop.removeEventListener('abort', destroy);
        channel.destroy();
      }
    });
  }

  async #open(connection: SshConnection, signal: AbortSignal) {
    return await connection.forwardUnix(this.#socketPath, { signal }).catch((error: unknown) => {
      if (sshErrorCode(error) !== 'FORWARD_REFUSED') throw error;
      throw new LmasError('GATEWAY_ENDED', `No gateway answers at site ${this.address.site}.`, { cause: error });
    });
  }

  /** The connection is the pool's, and a call's channel ends with the call. */
  async close(): Promise<void> {}

  async #call<T>(method: Method, path: string, body: unknown, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    return await this.#pool.use(this.address.site, signal, async (connection) => {
      const channel = await this.#open(connection, signal);
      try {
        const stop = AbortSignal.any([signal, connection.closed]);
        const { status, text } = await exchange(channel, { method, path, body, token: this.#token, signal: stop });
        const answer: unknown = text === '' ? null : JSON.parse(text);
        if (status >= 200 && status < 300) return schema.parse(answer);
        throw refusal(this.address, answer);
      } finally {
        channel.destroy();
      }
    });
  }
}

interface Exchange {
  readonly method: Method;
  readonly path: string;
  readonly body: unknown;
  readonly token: number;
  readonly signal: AbortSignal;
}

async function exchange(
  channel: NodeJS.ReadWriteStream,
  { method, path, body, token, signal }: Exchange,
): Promise<{ status: number; text: string }> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = httpRequest({
    method,
    path,
    signal,
    // A Duplex is all that HTTP needs of a socket. No agent: it would not ask for it.
    createConnection: () => channel as never,
    headers: {
      host: 'gateway',
      connection: 'close',
      [FENCING_TOKEN_HEADER]: String(token),
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
    },
  });
  request.once('response', resolve);
  request.on('error', reject);
  request.end(payload);
  const response = await promise.catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new LmasError('GATEWAY_ENDED', 'The gateway closed the connection without an answer.', { cause });
  });
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new LmasError('GATEWAY_REFUSED', 'The gateway’s answer has no end.');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
}

const remedies = {
  PAIR_IN_USE: 'Try again when the other migration between these two hosts is over.',
  INTERCEPTION_FAILED: 'Run `lmas-gateway doctor --mode transparent` at the gateway machine; it says what is missing.',
} as const;

/** A gateway's problem in the orchestrator's words. */
function refusal({ site }: GatewayAddress, answer: unknown): LmasError {
  const problem = problemSchema.safeParse(answer);
  if (!problem.success) return new LmasError('GATEWAY_REFUSED', `The gateway at ${site} answered what nobody knows.`);
  const { code, title, detail } = problem.data;
  if (code === 'STALE_TOKEN') return new LmasError('SUPERSEDED', `A newer run has the gateway at ${site}.`);
  if (code === 'LISTEN_FAILED') return new LmasError('NO_FREE_PORT', `Gateway at ${site}: ${detail ?? title}`);
  if (code === 'PAIR_IN_USE' || code === 'INTERCEPTION_FAILED') {
    return new LmasError(code, `Gateway at ${site}: ${detail ?? title}`, { remedy: remedies[code] });
  }
  return new LmasError('GATEWAY_REFUSED', `Gateway at ${site}: ${code}: ${detail ?? title}`);
}
