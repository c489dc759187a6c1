/**
 * One call of XAPI over HTTPS: JSON-RPC 2.0 at `/jsonrpc`, where old releases may answer as 1.0 does. Knows nothing of sessions. A fault that XAPI answers is a
 * XapiFault; anything else means that there was no answer, and says whether the request may have had an effect.
 *
 * Source of the shapes: xapi-project/xen-api, doc/content/xen-api/wire-protocol.md.
 */
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { z } from 'zod';
import { XapiFault, XapiSilence } from '../errors.ts';
import type { PinningAgent } from './tls.ts';

/** An inventory of some thousand VMs is about 20 MB. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** A fault first: 1.0 has a `result` beside it, which is null. */
const answerSchema = z.union([
  z
    .object({ error: z.object({ message: z.string(), data: z.array(z.unknown()).default([]) }) })
    .transform(({ error }) => ({
      fault: [error.message, ...error.data].map(String),
    })),
  z.object({ error: z.array(z.unknown()).min(1) }).transform(({ error }) => ({ fault: error.map(String) })),
  z
    .object({ result: z.unknown(), error: z.null().optional() })
    .refine((answer) => 'result' in answer)
    .transform(({ result }) => ({ result })),
]);

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws XapiFault with what it answered, XapiSilence when it did not, the signal's reason when that came first */
export async function callJsonRpc(
  agent: PinningAgent,
  { host, port }: Address,
  method: string,
  params: readonly unknown[],
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<unknown> {
  // `params` has to be an array and `id` not null; the content type exactly this.
  const body = JSON.stringify({ jsonrpc: '2.0', method, params, id: 1 });
  const deadline = AbortSignal.timeout(timeoutMs);
  const answer = await post(agent, { host, port }, body, AbortSignal.any([signal, deadline])).catch(
    (error: unknown) => {
      signal.throwIfAborted();
      if (!deadline.aborted || !(error instanceof XapiSilence)) throw error;
      // What waited for a connection all the time was never sent.
      const kind = error.kind === 'unreachable' ? 'unreachable' : 'timeout';
      throw new XapiSilence(kind, `${host} did not answer ${method} in ${timeoutMs} ms`, { cause: error });
    },
  );
  return readAnswer(method, host, answer);
}

interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function post(agent: PinningAgent, { host, port }: Address, body: string, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    let connected = false;
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = httpsRequest({ host, port, method: 'POST', path: '/jsonrpc', headers, agent, signal });
    request.once('socket', () => {
      connected = true; // it was verified before it was given to the request
    });
    request.once('error', (error) => reject(silence(error, { host, port }, connected)));
    request.once('response', (response: IncomingMessage) => {
      readBody(response).then(
        (text) =>
          resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: text }),
        (error: Error) => reject(silence(error, { host, port }, true)),
      );
    });
    request.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const OTHER_PORT =
  'Give the endpoint the `port` at which XAPI takes HTTPS: 443, unless something in front of it has another.';

/** What OpenSSL makes of a greeting of SSH, of an answer in plain HTTP, of anything else. */
const NO_TLS: ReadonlySet<unknown> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_DATA_LENGTH_TOO_LONG',
]);

/** A connection that was never there cannot have carried the request; of any other nobody knows. */
function silence(error: Error, { host, port }: Address, connected: boolean): Error {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'HOST_KEY_MISMATCH') return error;
  if (!connected && NO_TLS.has(code)) {
    const message = `${host} port ${port} does not speak TLS, so no XAPI answers there`;
    return new XapiSilence('unreachable', message, { cause: error, remedy: OTHER_PORT });
  }
  return new XapiSilence(connected ? 'lost' : 'unreachable', `${host}: ${error.message}`, { cause: error });
}

function readAnswer(method: string, host: string, { status, type, body }: HttpAnswer): unknown {
  // A malformed request is answered with 500 and an HTML page.
  if (status !== 200 || !type.includes('json')) {
    throw new XapiSilence('not-xapi', `${host} answered ${method} with HTTP ${status}, ${type || 'no content type'}`);
  }
  const parsed = answerSchema.safeParse(parseJson(body));
  if (!parsed.success)
    throw new XapiSilence('not-xapi', `${host} answered ${method} with something that is not JSON-RPC`);
  if ('result' in parsed.data) return parsed.data.result;
  const [code = 'INTERNAL_ERROR', ...params] = parsed.data.fault;
  throw new XapiFault(code, params);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // answered for by the schema
  }
}
