/** Speaks the control API of a gateway that runs in a machine of the lab, through its Unix socket, seen from outside. */
import { request } from 'node:http';
import {
  FENCING_TOKEN_HEADER,
  type GatewayStatus,
  identitySchema,
  type Limits,
  probeResultSchema,
  type RouteConfig,
  routeStateSchema,
  type SessionConfig,
  sessionStateSchema,
  statusSchema,
} from '@lmas/gateway-api';
import { z } from 'zod';

const ANSWERS_WITHIN_MS = 30_000;
const TOKEN = '1';

export class GatewayClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  identity() {
    return this.#call('GET', '/v1/identity', undefined, identitySchema);
  }

  configure(session: SessionConfig) {
    return this.#call('PUT', '/v1/session', session, sessionStateSchema);
  }

  putRoute(id: string, route: RouteConfig) {
    return this.#call('PUT', `/v1/routes/${id}`, route, routeStateSchema);
  }

  status(): Promise<GatewayStatus> {
    return this.#call('GET', '/v1/status', undefined, statusSchema);
  }

  probe(durationMs: number) {
    return this.#call('POST', '/v1/probe', { durationMs }, probeResultSchema);
  }

  async setLimits(limits: Limits): Promise<void> {
    await this.#call('PUT', '/v1/limits', limits, z.unknown());
  }

  async shutDown(): Promise<void> {
    await this.#call('POST', '/v1/shutdown', {}, z.unknown());
  }

  async #call<T>(method: string, path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    const { status, text } = await exchange(this.#socketPath, method, path, body);
    if (status >= 400) throw new Error(`The gateway answers ${status} to ${method} ${path}: ${text}`);
    return schema.parse(text === '' ? null : JSON.parse(text));
  }
}

function exchange(socketPath: string, method: string, path: string, body: unknown) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', [FENCING_TOKEN_HEADER]: TOKEN };
    const asking = request({ socketPath, method, path, headers, timeout: ANSWERS_WITHIN_MS }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
      answer.on('error', reject);
    });
    asking.on('timeout', () => asking.destroy(new Error(`No answer to ${method} ${path}.`)));
    asking.on('error', reject);
    asking.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
