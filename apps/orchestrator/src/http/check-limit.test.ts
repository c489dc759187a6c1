/** How long a call that checks a migration is held, with checks that are played and never come to an end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { buildServer } from './server.ts';
import type { Services } from './services.ts';

const MINUTE_MS = 60_000;
const ASKED = { vm: 'v', source: 'a', destination: 'b' };

for (const [checkingMs, limitMs] of [
  [5_000, 5_000],
  [24 * 60 * MINUTE_MS, MINUTE_MS],
] as const) {
  test(`checks that may take ${checkingMs} ms are answered after ${limitMs} ms`, { timeout: 20_000 }, async (t) => {
    const begun = Promise.withResolvers<void>();
    const checker = {
      check: (_: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          begun.resolve();
        }),
    };
    const caller = {
      kind: 'api-key',
      id: 'k',
      name: 'n',
      role: 'operator',
      project: null,
      operations: null,
      expiresAt: null,
    };
    const services = {
      authenticator: { authenticate: async () => caller },
      audit: { record: async () => undefined },
      outage: () => undefined,
      stopping: new AbortController().signal,
      seenBy: () => ({ checker, migrations: { validate: async () => undefined } }),
    } as unknown as Services;
    const app = buildServer(services, { log: createLog('silent') });
    t.after(() => app.close());
    await app.ready();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const answer = app.inject({
      ...{ method: 'POST', url: '/v1/migration-checks', headers: { authorization: 'Bearer k' } },
      payload: { ...ASKED, timeouts: { checkingMs } },
    });
    let isAnswered = false;
    void answer.then(() => (isAnswered = true));
    await begun.promise;
    t.mock.timers.tick(limitMs - 1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isAnswered, false);
    t.mock.timers.tick(1);
    const { statusCode, body } = await answer;
    assert.deepEqual([statusCode, JSON.parse(body).code], [504, 'FAR_END_TIMEOUT']);
  });
}
