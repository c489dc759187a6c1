/**
 * The control API: HTTP on a Unix socket in a directory of its owner's only (packages/gateway-api is the contract). Every changing
 * call is fenced: the largest token seen wins, smaller ones get STALE_TOKEN. Owns the socket file and removes it at the end.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import {
  FENCING_TOKEN_HEADER,
  leaseSchema,
  limitsSchema,
  type Problem,
  probeRequestSchema,
  routeConfigSchema,
  routeIdSchema,
  sessionConfigSchema,
} from '@lmas/gateway-api';
import { z } from 'zod';
import { asGatewayError, type ErrorCode, errnoOf, errorTable, GatewayError, messageOf } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import type { Log } from '../log.ts';
import { METRICS_TYPE, renderMetrics } from './metrics.ts';

const maxBodyBytes = 256 << 10;
/** `sun_path` of unix(7), without its last zero. */
const longestPathBytes = 107;

interface Route {
  method: string;
  pattern: RegExp;
  /** `last` is the part of the path that the pattern caught. */
  handle(body: unknown, last: string): unknown;
}

export class ControlServer {
  readonly #socketPath: string;
  readonly #log: Log;
  readonly #routes: Route[];
  readonly #server: http.Server;
  #token = -1n;

  constructor(socketPath: string, gateway: Gateway, log: Log, onShutdown: () => void) {
    this.#socketPath = path.resolve(socketPath);
    this.#log = log;
    this.#routes = makeRoutes(gateway, onShutdown);
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
  }

  /** Binds; takes over a socket file that nobody serves, refuses one that somebody does. */
  async listen(): Promise<void> {
    this.#checkPath();
    mkdirSync(path.dirname(this.#socketPath), { recursive: true, mode: 0o700 });
    await this.#removeStale();
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', (cause) =>
          reject(
            new GatewayError('LISTEN_FAILED', `(${this.#socketPath}: ${errnoOf(cause) ?? messageOf(cause)})`, {
              cause,
            }),
          ),
        );
        this.#server.listen(this.#socketPath, resolve);
      });
      chmodSync(this.#socketPath, 0o600);
    } finally {
      process.umask(mask);
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
      setTimeout(() => this.#server.closeAllConnections(), 500).unref();
    });
    rmSync(this.#socketPath, { force: true });
  }

  #checkPath(): void {
    const bytes = Buffer.byteLength(this.#socketPath);
    if (bytes <= longestPathBytes) return;
    const why = `a Unix socket's path has at most ${longestPathBytes} bytes, this one ${bytes}`;
    throw new GatewayError('LISTEN_FAILED', `(${this.#socketPath}: ${why})`);
  }

  async #removeStale(): Promise<void> {
    const there = lstatSync(this.#socketPath, { throwIfNoEntry: false });
    if (there === undefined) return;
    if (!there.isSocket()) {
      throw new GatewayError('LISTEN_FAILED', `(${this.#socketPath} is there already, and is no socket)`);
    }
    const served = await new Promise<boolean>((resolve) => {
      const socket = connect(this.#socketPath, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (served) throw new GatewayError('LISTEN_FAILED', `(another gateway serves ${this.#socketPath})`);
    rmSync(this.#socketPath, { force: true });
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    try {
      const { handle, last } = this.#find(request);
      const body = request.method === 'GET' ? undefined : await readBody(request);
      if (request.method !== 'GET') this.#fence(request);
      const result = await handle(body, last);
      if (result === undefined) response.writeHead(204).end();
      else if (typeof result === 'string') sendText(response, 200, METRICS_TYPE, result);
      else send(response, 200, 'application/json', result);
    } catch (error) {
      const known = asGatewayError(error, 'INTERNAL');
      if (known.code === 'INTERNAL') this.#log.error('control call failed', { message: String(error) });
      send(response, known.httpStatus, 'application/problem+json', problemOf(known.code, known));
    }
  }

  #find(request: http.IncomingMessage): { handle: Route['handle']; last: string } {
    const url = (request.url ?? '').split('?')[0] ?? '';
    for (const { method, pattern, handle } of this.#routes) {
      const match = pattern.exec(url);
      if (match !== null && method === request.method) return { handle, last: match[1] ?? '' };
    }
    throw new GatewayError('NOT_FOUND', `(${request.method} ${url})`);
  }

  #fence(request: http.IncomingMessage): void {
    const header = request.headers[FENCING_TOKEN_HEADER];
    if (typeof header !== 'string' || !/^\d{1,39}$/.test(header)) throw new GatewayError('TOKEN_REQUIRED');
    const token = BigInt(header);
    if (token < this.#token) throw new GatewayError('STALE_TOKEN', `(${token} < ${this.#token})`);
    this.#token = token;
  }
}

function makeRoutes(gateway: Gateway, onShutdown: () => void): Route[] {
  const route = (method: string, pattern: RegExp, handle: Route['handle']): Route => ({ method, pattern, handle });
  return [
    route('GET', /^\/v1\/identity$/, () => gateway.describe()),
    route('GET', /^\/v1\/status$/, () => gateway.status()),
    route('GET', /^\/metrics$/, () => renderMetrics(gateway.status())),
    route('PUT', /^\/v1\/session$/, (body) => gateway.configureSession(parse(sessionConfigSchema, body))),
    route('GET', /^\/v1\/session$/, () => {
      if (gateway.session === null) throw new GatewayError('NO_SESSION');
      return gateway.sessionState(gateway.session);
    }),
    route('PUT', /^\/v1\/routes\/([^/]+)$/, (body, id) =>
      gateway.putRoute(parse(routeIdSchema, id), parse(routeConfigSchema, body)),
    ),
    route('DELETE', /^\/v1\/routes\/([^/]+)$/, (_body, id) => gateway.deleteRoute(parse(routeIdSchema, id))),
    route('POST', /^\/v1\/lease$/, (body) => {
      gateway.lease.renew(parse(leaseSchema, body).leaseMs);
      return { leaseRemainingMs: gateway.lease.remainingMs };
    }),
    route('PUT', /^\/v1\/limits$/, (body) => {
      const limits = parse(limitsSchema, body);
      gateway.setLimits(limits);
      return limits;
    }),
    route('POST', /^\/v1\/probe$/, (body) => gateway.probe(parse(probeRequestSchema, body).durationMs)),
    route('POST', /^\/v1\/shutdown$/, () => {
      setImmediate(onShutdown);
      return {};
    }),
  ];
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (!result.success) throw new GatewayError('INVALID_REQUEST', z.prettifyError(result.error));
  return result.data;
}

async function readBody(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBodyBytes) throw new GatewayError('INVALID_REQUEST', '(body too large)');
    chunks.push(chunk);
  }
  if (size === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new GatewayError('INVALID_REQUEST', '(not JSON)', { cause });
  }
}

function problemOf(code: ErrorCode, error: GatewayError): Problem {
  const title = errorTable[code].message;
  return { type: `urn:lmas:gateway:${code}`, title, status: error.httpStatus, code, detail: error.message };
}

function send(response: http.ServerResponse, status: number, type: string, body: unknown): void {
  sendText(response, status, type, JSON.stringify(body));
}

function sendText(response: http.ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
}
