/**
 * What `lmas support-bundle` writes: a file for its owner only, with what a report needs; and none of the secrets that went
 * into the installation, nor of those that somebody wrote where they do not belong.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseTarGzip } from 'nanotar';
import { lmas } from '../support/lmas.ts';
import { OrchestratorProcess } from './child.ts';
import { freePort, setStage, temporaryDirectory } from './harness.ts';

const directory = await temporaryDirectory();
const masterKey = randomBytes(32).toString('base64');
const redisPassword = `MARKER-${randomUUID()}`;
const orchestrator = new OrchestratorProcess(join(directory.path, 'data'), {
  LMAS_MASTER_KEY: masterKey,
  LMAS_LOG_LEVEL: 'info',
  LMAS_WEBHOOK_ALLOW: '127.0.0.0/8',
});
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const environment = () => ({ LMAS_URL: orchestrator.api.url, LMAS_API_KEY: orchestrator.api.key });

async function unpack(file: string): Promise<Map<string, string>> {
  const entries = await parseTarGzip(await readFile(file));
  return new Map(entries.map(({ name, text }) => [name.replace('lmas-support/', ''), text]));
}

test('a report needs nothing else, and gives nothing away', { timeout: 60_000 }, async () => {
  const { api } = orchestrator;
  await using stage = await setStage(() => api, directory.path);
  const secrets = new Map<string, string>([
    ['API key', api.key],
    ['master key', masterKey],
    ['password of the stage', `secret-${stage.source.replace('-source', '')}`],
  ]);
  const mark = (name: string): string => {
    const text = `MARKER-${randomUUID()}`;
    secrets.set(name, text);
    return text;
  };
  const hook = await api.must<{ secret: string }>('POST', '/v1/webhooks', {
    id: 'hook',
    url: `https://portal.example.org/${mark('path of a webhook')}?token=${mark('query of a webhook')}`,
  });
  secrets.set('webhook secret', hook.secret);
  // Where none belongs, and people put one all the same.
  await api.must('POST', '/v1/sites', { id: 'careless', description: `root password: ${mark('password in words')}` });
  const labels = { 'api-key': mark('label'), owner: `lmas_${'a'.repeat(12)}_${randomBytes(32).toString('base64url')}` };
  secrets.set('somebody’s key in a label', labels.owner);
  const { id } = await stage.submit({ labels });
  const failing = await stage.submit({ transport: 'direct', vm: 'nobody-has-it' });
  await Promise.all([api.ended(id), api.ended(failing.id)]);
  const logFile = join(directory.path, 'orchestrator.log');
  await writeFile(
    logFile,
    `connecting to redis://lmas:${redisPassword}@db.example.org\nauthorization: Bearer ${mark('bearer in a log')}\n`,
  );
  secrets.set('password in an address', redisPassword);

  const file = join(directory.path, 'bundle.tar.gz');
  const { code, out, err } = await lmas(['support-bundle', '--output', file, '--log', logFile], environment());
  assert.equal(code, 0, err);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const files = await unpack(file);
  const record = `migrations/${id}/record.json`;
  for (const name of [...files.keys()].filter((each) => each !== 'manifest.json')) assert.ok(out.includes(name), name);
  assert.match(out, /Left out:\n.*credentials, API keys/);

  // What a report needs is there.
  const known: readonly (readonly [name: string, text: string])[] = [
    ['doctor.json', `endpoint ${stage.source}`],
    ['versions.json', '"simulated"'],
    ['settings.json', 'LMAS_MASTER_KEY'],
    ['metrics.txt', 'lmas_migrations_ended_total'],
    ['process-log.json', 'gateway'],
    ['log-file.txt', 'db.example.org'],
    ['webhooks.json', 'https://portal.example.org'],
    [record, stage.vmId],
    [`migrations/${id}/events.json`, '"performing"'],
    [`migrations/${id}/log.json`, 'point of no return'],
    [`migrations/${failing.id}/record.json`, 'VM_NOT_FOUND'],
  ];
  for (const [name, text] of known) assert.ok(files.get(name)?.includes(text), `${text} in ${name}`);
  const manifest: { files: { name: string; redacted: number }[]; leftOut: { what: string }[] } = JSON.parse(
    files.get('manifest.json') ?? '',
  );
  assert.deepEqual(
    manifest.files.map(({ name }) => name).sort(),
    [...files.keys()].filter((name) => name !== 'manifest.json').sort(),
  );
  assert.ok((manifest.files.find(({ name }) => name === record)?.redacted ?? 0) >= 2);
  assert.ok(manifest.leftOut.some(({ what }) => what === 'audit log'));

  // Nothing secret is.
  for (const [name, secret] of secrets) {
    for (const [where, text] of files) assert.ok(!text.includes(secret), `${name} is in ${where}`);
    assert.ok(!out.includes(secret), `${name} is in what was printed`);
  }

  const again = await lmas(['support-bundle', '--output', file], environment());
  assert.equal(again.code, 2);
  assert.match(again.err, /is there already.*OUTPUT_EXISTS/);
});

test('one migration by name; and what can be had when the orchestrator is away', async () => {
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const { id } = await stage.submit({ transport: 'direct' });
  await orchestrator.api.ended(id);
  const one = join(directory.path, 'one.tar.gz');
  const wanted = ['--migration', id, '--migration', `m_${randomUUID()}`];
  const { out } = await lmas(['support-bundle', '--output', one, ...wanted, '--json'], environment());
  const { files, leftOut } = JSON.parse(out);
  const migrations = new Set(
    files.flatMap(({ name }: { name: string }) => /^migrations\/(m_[^/]+)/.exec(name)?.[1] ?? []),
  );
  assert.deepEqual([...migrations], [id]);
  assert.ok(leftOut.some(({ why }: { why: string }) => why.startsWith('MIGRATION_NOT_FOUND')));

  const away = join(directory.path, 'away.tar.gz');
  const nowhere = { ...environment(), LMAS_URL: `http://127.0.0.1:${await freePort()}` };
  const ended = await lmas(['support-bundle', '--output', away], nowhere);
  assert.equal(ended.code, 0, ended.err);
  const contents = await unpack(away);
  assert.deepEqual([...contents.keys()], ['manifest.json', 'doctor.json']);
  assert.match(contents.get('doctor.json') ?? '', /UNREACHABLE/);
  assert.match(contents.get('manifest.json') ?? '', /could not be asked/);
});
