/**
 * What an OpenTelemetry collector is to those who send to it: it takes OTLP over HTTP, keeps the spans that came as JSON,
 * and every body as it came. It owns its socket.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';

const valueSchema = z
  .object({ stringValue: z.string(), intValue: z.coerce.number(), boolValue: z.boolean(), doubleValue: z.number() })
  .partial()
  .transform((value) => value.stringValue ?? value.intValue ?? value.boolValue ?? value.doubleValue);
const attributesSchema = z
  .array(z.object({ key: z.string(), value: valueSchema }))
  .default([])
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, value])));
/** github.com/open-telemetry/opentelemetry-proto, opentelemetry/proto/trace/v1/trace.proto, in its JSON mapping. */
const spanSchema = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().default(''),
  name: z.string(),
  kind: z.int(),
  startTimeUnixNano: z.coerce.bigint(),
  endTimeUnixNano: z.coerce.bigint(),
  attributes: attributesSchema,
  events: z.array(z.unknown()).default([]),
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })).default([]),
  status: z.object({ code: z.int().default(0), message: z.string().default('') }),
});
const exportSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: attributesSchema }),
      scopeSpans: z.array(z.object({ spans: z.array(spanSchema) })),
    }),
  ),
});

export type ReceivedSpan = z.output<typeof spanSchema>;
export const ERROR_STATUS = 2;
/** SpanKind of the protocol, not of the API. */
export const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };

export interface TraceReceiver extends AsyncDisposable {
  readonly endpoint: string;
  readonly spans: ReceivedSpan[];
  readonly resources: Record<string, unknown>[];
  readonly posts: { headers: IncomingHttpHeaders; path: string; body: Buffer }[];
  /** Resolves once `isThere` holds of what has come. */
  until(what: string, isThere: (spans: readonly ReceivedSpan[]) => boolean): Promise<void>;
}

export async function receiveTraces(): Promise<TraceReceiver> {
  const spans: ReceivedSpan[] = [];
  const resources: Record<string, unknown>[] = [];
  const posts: TraceReceiver['posts'] = [];
  const news = new EventEmitter();
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    posts.push({ headers: request.headers, path: request.url ?? '', body });
    if (request.headers['content-type'] === 'application/json') {
      for (const { resource, scopeSpans } of exportSchema.parse(JSON.parse(body.toString('utf8'))).resourceSpans) {
        resources.push(resource.attributes);
        spans.push(...scopeSpans.flatMap((scope) => scope.spans));
      }
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    news.emit('received');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    ...{ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, resources, posts },
    async until(what, isThere) {
      const signal = AbortSignal.timeout(30_000);
      while (!isThere(spans)) {
        await once(news, 'received', { signal }).catch(() =>
          assert.fail(`no ${what} among ${spans.map(({ name }) => name).join(', ')}`),
        );
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
