/**
 * Whether an endpoint can be worked with: connected to, logged in to, asked who is there. A failure is the answer here,
 * not an error.
 */
import type { z } from 'zod';
import { describeError } from '../errors.ts';
import { type endpointTestSchema, inventorySchema } from '../schemas/endpoint.ts';
import { type EndpointConnector, withSession } from './connector.ts';

export async function testEndpoint(
  connector: EndpointConnector,
  endpoint: string,
  { signal }: { signal: AbortSignal },
): Promise<z.infer<typeof endpointTestSchema>> {
  const started = performance.now();
  const durationMs = () => Math.round(performance.now() - started);
  try {
    const { host } = await withSession(connector, endpoint, signal, (session) => session.inventory({ signal }));
    return { ok: true, durationMs: durationMs(), host: inventorySchema.shape.host.parse(host), error: null };
  } catch (error) {
    const { code, message, remedy } = describeError(signal.aborted ? signal.reason : error);
    return { ok: false, durationMs: durationMs(), host: null, error: { code, message, remedy } };
  }
}
