/** Whatever fails, in whichever hook: the answer is a problem, and nothing of what failed stands in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify, { type FastifyInstance } from 'fastify';
import { installProblems } from './problems.ts';

const NATIVE = "OOM command not allowed when used memory > 'maxmemory'. script: 05e798, on @user_script:1.";
const fail = async () => {
  throw new Error(NATIVE);
};

const HOOKS: Readonly<Record<string, (api: FastifyInstance) => void>> = {
  onRequest: (api) => void api.addHook('onRequest', fail),
  preParsing: (api) => void api.addHook('preParsing', fail),
  preValidation: (api) => void api.addHook('preValidation', fail),
  preHandler: (api) => void api.addHook('preHandler', fail),
  preSerialization: (api) => void api.addHook('preSerialization', fail),
  onSend: (api) => void api.addHook('onSend', fail),
};

for (const [name, install] of Object.entries(HOOKS)) {
  test(`${name}: a failure is a problem, of a success, a refusal and a defect alike`, async () => {
    const app = Fastify({ logger: false });
    installProblems(app);
    app.addHook('onRequest', async (request, reply) => void reply.header('x-request-id', request.id));
    app.register(async (api) => {
      install(api);
      api.get('/fine', async () => ({ ok: true }));
      api.get('/bad', async () => {
        throw new Error('a defect');
      });
      api.post('/body', async () => 'x');
    });
    const calls = [
      { url: '/fine' },
      { url: '/bad' },
      { method: 'POST', url: '/body', headers: { 'content-type': 'application/json' }, payload: '{' },
    ] as const;
    for (const call of calls) {
      const answer = await app.inject(call);
      const said = answer.body;
      assert.equal(answer.headers['content-type'], 'application/problem+json', `${call.url}: ${said}`);
      assert.equal(answer.statusCode, answer.json().status, said);
      assert.ok(['UNAVAILABLE', 'INTERNAL', 'INVALID_REQUEST'].includes(answer.json().code), said);
      assert.doesNotMatch(said, /OOM|script/);
      assert.notEqual(answer.headers['x-request-id'], undefined);
    }
    await app.close();
  });
}
