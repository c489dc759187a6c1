/**
 * Whether an endpoint can be worked with: connected to, logged in to, asked who is there, and what its plugin looks at
 * there beyond that. Read-only. A failure is the answer here, not an error, and what was seen before it is told, too.
 */
import type { Inventory, VerificationStep } from '@lmas/plugin-api';
import type { z } from 'zod';
import { describeError } from '../errors.ts';
import { type endpointTestSchema, inventorySchema, verificationStepSchema } from '../schemas/endpoint.ts';
import { type Questions, withSession } from './questions.ts';

type EndpointTest = z.infer<typeof endpointTestSchema>;

export async function testEndpoint(
  questions: Questions,
  endpoint: string,
  { signal }: { signal: AbortSignal },
): Promise<EndpointTest> {
  const started = performance.now();
  const steps: VerificationStep[] = [];
  let host: EndpointTest['host'] = null;
  let error: EndpointTest['error'] = null;
  /** The step that we are at; `null` while the plugin is, which names its own. */
  let at: 'connection' | 'inventory' | null = 'connection';
  try {
    await withSession(questions, endpoint, { signal, attended: true }, async (session) => {
      steps.push(well('connection', 'The endpoint is the one that was registered, and took the login.'));
      at = 'inventory';
      const inventory = await session.inventory({ signal });
      host = inventorySchema.shape.host.parse(inventory.host);
      steps.push(well('inventory', inWords(inventory)));
      at = null;
      for await (const step of session.verify?.({ signal }) ?? []) steps.push(verificationStepSchema.parse(step));
      signal.throwIfAborted();
    });
  } catch (thrown) {
    const { code, message, remedy } = describeError(signal.aborted ? signal.reason : thrown);
    error = { code, message, remedy };
    if (at !== null) steps.push({ name: at, outcome: 'failed', seen: message, remedy });
  }
  const ok = error === null && steps.every(({ outcome }) => outcome !== 'failed');
  return { ok, durationMs: Math.round(performance.now() - started), host, error, steps };
}

const well = (name: string, seen: string): VerificationStep => ({ name, outcome: 'ok', seen, remedy: null });

function inWords({ host, vms }: Inventory): string {
  const gib = (bytes: number): string => (bytes / 1024 ** 3).toFixed(1);
  const memory = `${gib(host.memoryFreeBytes)} of ${gib(host.memoryBytes)} GiB free`;
  return `${host.name}, ${host.version}: ${host.cpus} CPUs, ${memory}; VMs: ${vms.length}.`;
}
