/** Webhooks, from a real orchestrator on a real Redis to a real HTTP receiver. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook as Verifier } from 'standardwebhooks';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { type Received, receiveWebhooks } from '../support/webhook-receiver.ts';
import { Api, freePort, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const SETTINGS = { LMAS_WEBHOOK_ALLOW: '127.0.0.0/8', LMAS_WEBHOOK_RETRY_MS: '100', LMAS_WEBHOOK_TIMEOUT_MS: '700' };
/** Whatever is there. */
const ANY = { 'if-match': '*' };
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path, SETTINGS);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

interface Delivery {
  id: string;
  status: string;
  attempts: { status: number | null; fault: string | null; message: string | null }[];
  payload: string;
}
interface Hook {
  id: string;
  secret: string;
  failingSince: string | null;
  disabled: { reason: string } | null;
}
let hooks = 0;
async function register(url: string, settings: object = {}): Promise<Hook> {
  return await api.must<Hook>('POST', '/v1/webhooks', { id: `hook-${++hooks}`, url, ...settings });
}
const deliveriesOf = async ({ id }: Hook): Promise<Delivery[]> =>
  (await api.must<{ items: Delivery[] }>('GET', `/v1/webhooks/${id}/deliveries`)).items;

async function closed(hook: Hook, id: string, by = api): Promise<Delivery> {
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    const delivery = await by.must<Delivery>('GET', `/v1/webhooks/${hook.id}/deliveries/${id}`);
    if (delivery.status !== 'pending') return delivery;
  }
  assert.fail(`delivery ${id} is still pending`);
}
const sendTest = ({ id }: Hook) => api.must<Delivery>('POST', `/v1/webhooks/${id}/test`);
const verify = (secret: string, { body, headers }: Received) =>
  new Verifier(secret).verify(body, headers as Record<string, string>) as { type: string; data: { id: string } };

/** Names of the webhooks that need a person. */
async function needing(): Promise<string[]> {
  return (await api.must<{ items: Hook[] }>('GET', '/v1/webhooks?needs=person')).items.map(({ id }) => id);
}

test('a migration is followed from its first phase to its end, every message signed', async () => {
  await using receiver = await receiveWebhooks();
  await using stage = await setStage(() => api, directory.path);
  const all = await register(receiver.url);
  await using ends = await receiveWebhooks();
  const endOnly = await register(ends.url, { events: ['migration.succeeded', 'migration.failed'] });
  assert.match(all.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const { id } = await stage.submit({ correlationId: 'task-9', labels: { team: 'red' } });
  await api.ended(id);
  const messages = (await receiver.until(9)).map((received) => verify(all.secret, received));
  assert.deepEqual(
    new Set(messages.map(({ type }) => type)),
    new Set(
      [
        'queued',
        'checking',
        'provisioning',
        'preparing',
        'connecting',
        'performing',
        'confirming',
        'tearing-down',
        'succeeded',
      ].map((phase) => `migration.${phase}`),
    ),
  );
  for (const { data } of messages) assert.equal(data.id, id);
  assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 9);
  const [end] = await ends.until(1);
  assert.ok(end !== undefined);
  assert.deepEqual(verify(endOnly.secret, end).type, 'migration.succeeded');
  assert.equal(JSON.parse(end.body).data.correlationId, 'task-9');
  assert.throws(() => verify(all.secret, end), 'another webhook’s secret does not fit');
  assert.throws(() => verify(endOnly.secret, { ...end, body: end.body.replace('succeeded', 'failed') }));
  await sleep(300);
  assert.equal(ends.received.length, 1, 'what was not asked for is not sent');
  assert.equal((await deliveriesOf(endOnly)).at(0)?.status, 'delivered');
  for (const { id: hook } of [all, endOnly]) await api.must('DELETE', `/v1/webhooks/${hook}`);
});

test('what fails is tried again with the same id, and its log says what happened', async () => {
  await using receiver = await receiveWebhooks();
  const hook = await register(receiver.url);
  const answers: ((response: import('node:http').ServerResponse) => void)[] = [
    (response) => response.writeHead(500).end('x'.repeat(1_000_000)),
    (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    (response) => response.destroy(),
    () => undefined, // never answers
    (response) => response.writeHead(200).end('ok'),
  ];
  receiver.answerWith((response) => answers.shift()?.(response));
  const seen = (await api.call('GET', `/v1/webhooks/${hook.id}`)).headers.get('etag') ?? assert.fail();
  const { id } = await sendTest(hook);
  await receiver.until(2);
  assert.notEqual((await api.must<Hook>('GET', `/v1/webhooks/${hook.id}`)).failingSince, null);
  assert.ok((await needing()).includes(hook.id));
  const description = 'changed by somebody who looked before it failed';
  await api.must('PATCH', `/v1/webhooks/${hook.id}`, { description }, { 'if-match': seen });
  const delivery = await closed(hook, id);
  assert.equal(delivery.status, 'delivered');
  assert.deepEqual(
    delivery.attempts.map(({ status, fault }) => [status, fault]),
    [
      [500, 'HTTP_STATUS'],
      [302, 'REDIRECT'],
      [null, 'CONNECTION_FAILED'],
      [null, 'TIMEOUT'],
      [200, null],
    ],
  );
  assert.deepEqual(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])), new Set([id]));
  for (const received of receiver.received) verify(hook.secret, received);
  assert.equal((await api.must<Hook>('GET', `/v1/webhooks/${hook.id}`)).failingSince, null);
  assert.ok(!(await needing()).includes(hook.id));

  receiver.answerWith((response) => void response.writeHead(204).end());
  const again = await api.call('POST', `/v1/webhooks/${hook.id}/deliveries/${id}/redeliver`);
  assert.equal(again.status, 202);
  const [last] = (await receiver.until(6)).slice(-1);
  assert.equal(last?.headers['webhook-id'], id);
  assert.equal(last?.body, delivery.payload);
  assert.equal((await closed(hook, id)).attempts.length, 6);
  const foreign = await register(receiver.url);
  assert.equal((await api.call('GET', `/v1/webhooks/${foreign.id}/deliveries/${id}`)).body.code, 'DELIVERY_NOT_FOUND');
});

test('a secret that is rotated: for a day both sign, and neither is ever shown again', async () => {
  await using receiver = await receiveWebhooks();
  const hook = await register(receiver.url);
  const { secret } = await api.must<Hook>('POST', `/v1/webhooks/${hook.id}/rotate-secret`);
  assert.notEqual(secret, hook.secret);
  await closed(hook, (await sendTest(hook)).id);
  const [received] = await receiver.until(1);
  assert.ok(received !== undefined);
  verify(secret, received);
  verify(hook.secret, received);
  const shown = JSON.stringify([
    await api.must('GET', '/v1/webhooks'),
    await api.must('GET', `/v1/webhooks/${hook.id}`),
    await deliveriesOf(hook),
  ]);
  const files = await readdir(directory.path, { recursive: true, withFileTypes: true });
  for (const each of [secret, hook.secret]) {
    assert.ok(!shown.includes(each.slice(6)));
    for (const file of files.filter((entry) => entry.isFile())) {
      const content = await readFile(join(file.parentPath, file.name), 'latin1');
      assert.ok(!content.includes(each.slice(6)), `${file.name} holds a secret`);
    }
  }
});

test('a receiver that hangs holds up nobody else, uses up no tries, and gets what waited when it is back', async () => {
  await using own = await temporaryDirectory();
  await using stack = new AsyncDisposableStack();
  const patient = await startInProcess(own.path, { ...SETTINGS, LMAS_WEBHOOK_TIMEOUT_MS: '60000' });
  stack.defer(() => patient.stop());
  const calls = await Api.of(patient);
  await using hanging = await receiveWebhooks();
  await using good = await receiveWebhooks();
  for (const [id, { url }] of Object.entries({ hanging, good })) await calls.must('POST', '/v1/webhooks', { id, url });
  const held = Promise.withResolvers<() => void>();
  hanging.answerWith((response) => held.resolve(() => void response.writeHead(204).end()));
  await using stage = await setStage(() => calls, own.path);
  for (let i = 0; i < 4; i++) {
    const { source, destination } = stage;
    const way = i % 2 === 0 ? { source, destination } : { source: destination, destination: source };
    const { id } = await stage.submit({ transport: 'direct', ...way });
    assert.equal((await calls.ended(id)).phase, 'succeeded');
  }
  const ends = () => good.received.filter(({ body }) => JSON.parse(body).type === 'migration.succeeded').length;
  for (const deadline = performance.now() + 10_000; ends() < 4; await sleep(20))
    assert.ok(performance.now() < deadline, `${ends()} of 4 ends came within seconds to the one that answers`);
  const [sent, count] = [good.received, good.received.length];
  assert.ok(count >= 24, `${count} are dozens`);
  assert.equal(hanging.received.length, 1, 'one attempt at a time');
  const { items } = await calls.must<{ items: Delivery[] }>('GET', '/v1/webhooks/hanging/deliveries');
  assert.equal(items.length, count);
  assert.ok(items.every(({ status, attempts }) => status === 'pending' && attempts.length === 0));
  hanging.answerWith((response) => void response.writeHead(204).end());
  (await held.promise)();
  const late = await hanging.until(count);
  const bodies = (messages: readonly Received[]) => new Set(messages.map(({ body }) => body));
  assert.deepEqual(bodies(late), bodies(sent));
  assert.equal(new Set(late.map(({ headers }) => headers['webhook-id'])).size, count);
});

test('addresses that are not public are refused at the door, and again when a name leads there', async () => {
  const refused = async (url: string, status = 422, code = 'WEBHOOK_ADDRESS_REFUSED') => {
    const answer = await api.call('POST', '/v1/webhooks', { id: 'evil', url });
    assert.deepEqual([answer.status, answer.body.code], [status, code], url);
  };
  for (const host of ['169.254.169.254', '10.0.0.1', '[::1]', '[fd00:ec2::254]', '0xa9fea9fe'])
    await refused(`https://${host}/`);
  await refused('http://93.184.215.14/');
  await refused('ftp://example.org/', 400, 'INVALID_REQUEST');
  await refused('https://user:password@example.org/', 400, 'INVALID_REQUEST');
  await using receiver = await receiveWebhooks();
  const hook = await register(receiver.url);
  const moved = await api.call('PATCH', `/v1/webhooks/${hook.id}`, { url: 'https://192.168.0.1/' }, ANY);
  assert.equal(moved.body.code, 'WEBHOOK_ADDRESS_REFUSED');
  await api.must('PATCH', `/v1/webhooks/${hook.id}`, { url: 'https://no-such-name.invalid/' }, ANY);
  const { id } = await sendTest(hook);
  for (let tries = 0; tries < 100; tries++) {
    const { attempts } = await api.must<Delivery>('GET', `/v1/webhooks/${hook.id}/deliveries/${id}`);
    if (attempts.length === 0) await sleep(50);
    else return assert.equal(attempts[0]?.fault, 'NAME_NOT_RESOLVED');
  }
  assert.fail('no attempt was made');
});

test('an attempt that fails does not tell what number the receiver’s name has', async () => {
  await using own = await temporaryDirectory();
  await using stack = new AsyncDisposableStack();
  const open = await startInProcess(own.path, { ...SETTINGS, LMAS_WEBHOOK_ALLOW: '127.0.0.0/8,::1' });
  stack.defer(() => open.stop());
  const calls = await Api.of(open);
  const url = `http://localhost:${await freePort()}/`;
  const hook = await calls.must<Hook>('POST', '/v1/webhooks', { id: 'hook', url });
  const { id } = await calls.must<Delivery>('POST', '/v1/webhooks/hook/test');
  const attempted = async () => (await calls.must<Delivery>('GET', `/v1/webhooks/hook/deliveries/${id}`)).attempts[0];
  let first = await attempted();
  for (let tries = 0; first === undefined && tries < 200; tries++) {
    await sleep(50);
    first = await attempted();
  }
  assert.equal(first?.fault, 'CONNECTION_FAILED');
  assert.match(first?.message ?? '', /ECONNREFUSED localhost:/);
  await calls.must('PATCH', `/v1/webhooks/${hook.id}`, { enabled: false }, ANY);
});

test('410 switches a webhook off, with the reason; by hand it is switched on again', async () => {
  await using receiver = await receiveWebhooks();
  const hook = await register(receiver.url);
  receiver.answerWith((response) => void response.writeHead(410).end());
  assert.equal((await closed(hook, (await sendTest(hook)).id)).status, 'failed');
  const { disabled } = await api.must<Hook>('GET', `/v1/webhooks/${hook.id}`);
  assert.match(disabled?.reason ?? '', /410/);
  assert.ok((await needing()).includes(hook.id));
  assert.equal((await api.call('POST', `/v1/webhooks/${hook.id}/test`)).body.code, 'WEBHOOK_DISABLED');
  receiver.answerWith((response) => void response.writeHead(200).end());
  await api.must('PATCH', `/v1/webhooks/${hook.id}`, { enabled: true }, ANY);
  assert.equal((await closed(hook, (await sendTest(hook)).id)).status, 'delivered');
});

test('of several who change a webhook at once nobody is undone, and a new secret stays', async () => {
  await api.must('POST', '/v1/webhooks', { id: 'shared', url: 'https://receiver.example.org/' });
  const path = '/v1/webhooks/shared';
  const [rotated] = await Promise.all([
    api.must<{ secretRotatedAt: string }>('POST', `${path}/rotate-secret`),
    api.must('PATCH', path, { description: 'ours' }, ANY),
    api.must('PATCH', path, { events: ['migration.failed'] }, ANY),
  ]);
  const { description, events, secretRotatedAt } = await api.must<Record<string, unknown>>('GET', path);
  assert.deepEqual([description, events, secretRotatedAt], ['ours', ['migration.failed'], rotated.secretRotatedAt]);
});

test('a project has so many webhooks and no more, whatever others have; what it removes makes room', async () => {
  for (const id of ['crowded', 'roomy']) await api.must('POST', '/v1/projects', { id, endpoints: [] });
  const operatorOf = async (project: string): Promise<Api> => {
    const { key } = await api.must<{ key: string }>('POST', '/v1/api-keys', {
      name: project,
      role: 'operator',
      project,
    });
    return new Api(api.url, key);
  };
  const [crowded, roomy] = [await operatorOf('crowded'), await operatorOf('roomy')];
  const url = 'https://receiver.example.org/';
  const make = (by: Api, id: string) => by.call('POST', '/v1/webhooks', { id, url });
  for (let i = 1; i <= 100; i++) assert.equal((await make(crowded, `hook-${i}`)).status, 201, `the ${i}th`);
  const refused = await make(crowded, 'one-more');
  assert.deepEqual([refused.status, refused.body.code], [409, 'TOO_MANY_WEBHOOKS']);
  assert.match(String(refused.body.detail), /100/);
  assert.equal((await make(crowded, 'hook-1')).body.code, 'ALREADY_EXISTS');
  assert.equal((await make(roomy, 'hook-1')).status, 201);
  await crowded.must('DELETE', '/v1/webhooks/hook-7');
  assert.equal((await make(crowded, 'one-more')).status, 201);
});

test('what has failed for too long is switched off, and says since when and why', async () => {
  await using own = await temporaryDirectory();
  const strict = await startInProcess(own.path, { ...SETTINGS, LMAS_WEBHOOK_DISABLE_MS: '100' });
  try {
    await using receiver = await receiveWebhooks();
    receiver.answerWith((response) => void response.writeHead(503).end());
    const calls = await Api.of(strict);
    await calls.must('POST', '/v1/webhooks', { id: 'hook', url: receiver.url });
    const { id } = await calls.must<Delivery>('POST', '/v1/webhooks/hook/test');
    let hook = await calls.must<Hook>('GET', '/v1/webhooks/hook');
    for (let tries = 0; hook.disabled === null && tries < 200; tries++) {
      await sleep(50);
      hook = await calls.must<Hook>('GET', '/v1/webhooks/hook');
    }
    assert.match(hook.disabled?.reason ?? '', /Nothing got through since .*503/);
    const delivery = await closed(hook, id, calls);
    assert.equal(delivery.status, 'failed');
    assert.equal(delivery.attempts.at(-1)?.fault, 'WEBHOOK_DISABLED');
    assert.ok(receiver.received.length < delivery.attempts.length, 'nothing was sent after that');
  } finally {
    await strict.stop();
  }
});

test('what happened while the orchestrator was away is sent when it is back', async () => {
  await using own = await temporaryDirectory();
  await using receiver = await receiveWebhooks();
  let calls: Api;
  const first = await startInProcess(own.path, { ...SETTINGS, LMAS_WEBHOOK_RETRY_MS: '1000' });
  let secret: string;
  try {
    calls = await Api.of(first);
    ({ secret } = await calls.must<Hook>('POST', '/v1/webhooks', { id: 'hook', url: receiver.url }));
    receiver.answerWith((response) => response.destroy());
    await calls.must('POST', '/v1/webhooks/hook/test');
    await receiver.until(1);
  } finally {
    await first.stop();
  }
  receiver.answerWith((response) => void response.writeHead(204).end());
  const second = await startInProcess(own.path, { ...SETTINGS, LMAS_WEBHOOK_RETRY_MS: '1000' });
  try {
    const messages = await receiver.until(2);
    for (const message of messages) verify(secret, message);
    assert.equal(messages[0]?.headers['webhook-id'], messages[1]?.headers['webhook-id']);
  } finally {
    await second.stop();
  }
});
