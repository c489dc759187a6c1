/**
 * A thread that calls the API as a portal and a few people do, at a steady pace, whatever the answers take (open loop: a
 * slow answer does not spare the orchestrator the next call), and notes how long each took. A thread of its own, so that
 * the simulated hypervisors of the benchmark do not count as the API's delay.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

export interface CallerInput {
  readonly baseUrl: string;
  readonly apiKey: string;
  /** Ids to look at. */
  readonly ids: readonly string[];
  /** Submitted and cancelled at once. */
  readonly submission: object;
  readonly callsPerSec: number;
  readonly forMs: number;
}

export interface CallerResult {
  /** Kind of call → how long each took, in ms. */
  readonly latenciesMs: Readonly<Record<string, readonly number[]>>;
  readonly failures: readonly string[];
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

async function call(
  { baseUrl, apiKey }: CallerInput,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers = {
    authorization: `Bearer ${apiKey}`,
    ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const sent = request(baseUrl + path, { method, headers, agent }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    response.on('error', reject);
  });
  sent.on('error', reject);
  sent.end(payload);
  return await promise;
}

async function run(input: CallerInput): Promise<CallerResult> {
  const latenciesMs: Record<string, number[]> = {};
  const failures: string[] = [];
  const timed = async (kind: string, method: string, path: string, body?: object): Promise<string> => {
    const startedAt = performance.now();
    const { status, text } = await call(input, method, path, body);
    if (status >= 400) failures.push(`${kind}: ${status} ${text.slice(0, 200)}`);
    const times = latenciesMs[kind] ?? [];
    latenciesMs[kind] = times;
    times.push(performance.now() - startedAt);
    return text;
  };
  const some = (): string => input.ids[Math.floor(Math.random() * input.ids.length)] ?? '';
  let submissions = 0;
  const kinds: readonly (() => Promise<unknown>)[] = [
    () => timed('get', 'GET', `/v1/migrations/${some()}`),
    () => timed('get', 'GET', `/v1/migrations/${some()}`),
    () => timed('list', 'GET', '/v1/migrations?limit=50'),
    () => timed('get', 'GET', `/v1/migrations/${some()}`),
    () => timed('list queued', 'GET', '/v1/migrations?phase=queued&limit=50'),
    () => timed('list running', 'GET', '/v1/migrations?phase=performing&limit=50'),
    () => timed('queue', 'GET', '/v1/queue'),
    async () => {
      submissions += 1;
      const body = { ...input.submission, vm: `extra-${submissions}` };
      const { id } = JSON.parse(await timed('submit', 'POST', '/v1/migrations', body)) as { id: string };
      await timed('cancel', 'POST', `/v1/migrations/${id}/cancel`);
    },
  ];
  const pending: Promise<unknown>[] = [];
  const startedAt = performance.now();
  for (let n = 0; performance.now() - startedAt < input.forMs; n++) {
    const dueMs = (n * 1_000) / input.callsPerSec - (performance.now() - startedAt);
    if (dueMs > 0) await sleep(dueMs);
    const kind = kinds[n % kinds.length];
    if (kind !== undefined) pending.push(kind().catch((error: unknown) => failures.push(String(error))));
  }
  await Promise.all(pending);
  agent.destroy();
  return { latenciesMs, failures };
}

parentPort?.postMessage(await run(workerData as CallerInput));
