/**
 * Refuses text that is no Unicode. JSON lets half of a surrogate pair in as an escape (`"\ud800"`); what keeps and hands on records (scripts
 * in Redis, logs, receivers of webhooks) does not, and would refuse them long after the request was accepted.
 */
import type { FastifyInstance } from 'fastify';
import { type Issue, LmasError } from '../errors.ts';

const MESSAGE = 'is no well-formed text: half of a surrogate pair';

export function refuseIllFormedText(app: FastifyInstance): void {
  app.addHook('preValidation', async ({ body, query }) => {
    const issues = [...illFormedIn(body), ...illFormedIn(query)];
    if (issues.length > 0) throw new LmasError('INVALID_REQUEST', undefined, { issues });
  });
}

/** Not by recursion: a body may be as deep as it is long. */
export function* illFormedIn(root: unknown): Generator<Issue> {
  const waiting: [path: string, value: unknown][] = [['', root]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [path, value] = next;
    if (typeof value === 'string' && !value.isWellFormed()) yield { path, message: MESSAGE };
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) continue;
    for (const [name, part] of Object.entries(value)) {
      const inside = path === '' ? name.toWellFormed() : `${path}.${name.toWellFormed()}`;
      if (!name.isWellFormed()) yield { path: inside, message: `its name ${MESSAGE}` };
      waiting.push([inside, part]);
    }
  }
}
