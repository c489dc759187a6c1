/** Lists by index and the feed of all migrations, over a real server and a real Redis. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { migrationNoticeSchema } from '../../apps/orchestrator/src/schemas/migration-notice.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

async function listed(query: string): Promise<string[]> {
  const ids: string[] = [];
  let cursor = '';
  do {
    const path = `/v1/migrations?limit=2&${query}${cursor && `&cursor=${cursor}`}`;
    const page = await api.must<{ items: { id: string }[]; nextCursor: string | null }>('GET', path);
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor ?? '';
  } while (cursor !== '');
  return ids;
}

test('every filter finds what it names and nothing else, alone and together', async () => {
  await using stage = await setStage(() => api, directory.path);
  await using other = await setStage(() => api, directory.path);
  const red = await stage.submit({ labels: { team: 'red', 'cost/centre': '7' }, correlationId: 'task-1' });
  const done = await api.ended(red.id);
  assert.equal(done.phase, 'succeeded');
  const failed: string[] = [];
  for (const team of ['red', 'blue', 'red']) {
    const { id } = await other.submit({ vm: `gone-${team}`, labels: { team }, correlationId: 'task-2' });
    failed.unshift(id);
    assert.equal((await api.ended(id)).phase, 'failed');
  }
  const [third, second, first] = failed;
  assert.deepEqual(await listed('label=team%3Dred'), [third, first, red.id]);
  assert.deepEqual(await listed('label=team%3Dred&label=cost/centre%3D7'), [red.id]);
  assert.deepEqual(await listed('label=team%3Dred&phase=failed'), [third, first]);
  assert.deepEqual(await listed('label=team%3Dgreen'), []);
  assert.deepEqual(await listed('correlationId=task-2'), [third, second, first]);
  assert.deepEqual(await listed(`site=${other.source}`), [third, second, first]);
  assert.deepEqual(await listed(`endpoint=${stage.destination}`), [red.id]);
  assert.deepEqual(await listed('vm=gone-blue'), [second]);
  assert.deepEqual(await listed(`vm=${done.vm.name}`), [red.id], 'by the name that was learnt');
  assert.deepEqual(await listed(`vm=${done.vm.id}`), [red.id]);
  assert.deepEqual(await listed(`phase=succeeded&endpoint=${stage.source}`), [red.id]);
  assert.deepEqual(await listed('phase=queued'), [], 'what has moved on is no longer there');
  const { createdAt } = await api.migration(String(second));
  assert.deepEqual(await listed(`createdAfter=${createdAt}&correlationId=task-2`), [third, second]);
  assert.deepEqual(await listed(`createdBefore=${createdAt}&correlationId=task-2`), [first]);
});

test('labels that cannot be are refused with each complaint', async () => {
  const { status, body } = await api.call('POST', '/v1/migrations', {
    vm: 'a',
    source: 'a',
    destination: 'b',
    labels: { 'No Spaces': 'x', fine: 'y'.repeat(200) },
    correlationId: 'a b',
  });
  assert.equal(status, 400);
  const paths = (body.errors as { path: string }[]).map(({ path }) => path);
  assert.ok(paths.some((path) => path.startsWith('labels')) && paths.includes('correlationId'), JSON.stringify(body));
  assert.equal((await api.call('GET', '/v1/migrations?label=nothing')).status, 400);
  assert.equal((await api.call('GET', '/v1/migrations?createdAfter=yesterday')).status, 400);
});

test('the feed tells of every migration, live and from where the reader was', async () => {
  await using stage = await setStage(() => api, directory.path);
  const live = follow(3);
  await live.connected;
  const { id } = await stage.submit({ labels: { feed: 'yes' } });
  await api.ended(id);
  const first = await live.notices;
  assert.deepEqual(
    first.map(({ notice }) => notice.message),
    ['queued', 'checking', 'provisioning'],
  );
  for (const { notice } of first) {
    assert.equal(notice.migration.id, id);
    assert.deepEqual(notice.migration.labels, { feed: 'yes' });
  }
  const rest = await follow(6, first.at(-1)?.id).notices;
  assert.equal(rest.at(-1)?.notice.type, 'end');
  assert.equal(rest.at(-1)?.notice.migration.phase, 'succeeded');
});

/** Reads `count` notices and hangs up. */
function follow(count: number, lastEventId?: string) {
  const connected = Promise.withResolvers<void>();
  const read = async () => {
    const hangUp = new AbortController();
    const response = await fetch(`${api.url}/v1/events`, {
      headers: {
        authorization: `Bearer ${api.key}`,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      signal: AbortSignal.any([hangUp.signal, AbortSignal.timeout(20_000)]),
    });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const notices: { id: string; notice: ReturnType<typeof migrationNoticeSchema.parse> }[] = [];
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      connected.resolve();
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      // A block without data is no event: where the stream begins.
      for (const block of blocks.filter((each) => each.startsWith('id: ') && each.includes('\ndata: '))) {
        const [id = '', data = ''] = block.split('\n');
        notices.push({ id: id.slice(4), notice: migrationNoticeSchema.parse(JSON.parse(data.slice(6))) });
        if (notices.length < count) continue;
        hangUp.abort();
        return notices;
      }
    }
    return notices;
  };
  return { connected: connected.promise, notices: read() };
}
