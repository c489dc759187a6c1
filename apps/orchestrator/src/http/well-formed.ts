/**
 * Refuses what is no well-formed text, and what is nested too deep. JSON lets half of a surrogate pair in as an escape (`"\ud800"`); what
 * keeps and hands on records (scripts in Redis, logs, receivers of webhooks) does not, and would refuse them long after the request was
 * accepted. And what is as deep as it is long breaks whatever looks at it by recursion, JSON.stringify among others.
 */
import type { FastifyInstance } from 'fastify';
import { type Issue, LmasError } from '../errors.ts';

const MESSAGE = 'is no well-formed text: half of a surrogate pair';
/** What the API takes is five or six deep; the options of a plugin may be more. */
const MAX_DEPTH = 100;

export function refuseIllFormed(app: FastifyInstance): void {
  app.addHook('preValidation', async ({ body, query }) => {
    const issues = [...illFormedIn(body), ...illFormedIn(query)];
    if (issues.length > 0) throw new LmasError('INVALID_REQUEST', undefined, { issues });
  });
}

/** Not by recursion: a body may be as deep as it is long. Where it is too deep, that is the last that is said of it. */
export function* illFormedIn(root: unknown): Generator<Issue> {
  const waiting: [path: string, value: unknown, depth: number][] = [['', root, 0]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [path, value, depth] = next;
    if (typeof value === 'string' && !value.isWellFormed()) yield { path, message: MESSAGE };
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) continue;
    if (depth === MAX_DEPTH) return yield { path, message: `is nested more than ${MAX_DEPTH} deep` };
    for (const [name, part] of Object.entries(value)) {
      const inside = path === '' ? name.toWellFormed() : `${path}.${name.toWellFormed()}`;
      if (!name.isWellFormed()) yield { path: inside, message: `its name ${MESSAGE}` };
      waiting.push([inside, part, depth + 1]);
    }
  }
}
