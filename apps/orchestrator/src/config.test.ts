import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { describeSettings, readConfig, showSettings, unknownSettings } from './config.ts';
import { errorCode, LmasError } from './errors.ts';

test('defaults are safe: loopback, a private Redis', () => {
  const config = readConfig({});
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 7070);
  assert.equal(config.redisUrl, undefined);
  assert.deepEqual(config.plugins, [
    '@lmas/plugin-kvm',
    '@lmas/plugin-vmware',
    '@lmas/plugin-xen',
    '@lmas/plugin-xen/xl',
  ]);
});

test('an empty variable is an unset one; a list is split', () => {
  const config = readConfig({ LMAS_PORT: '', LMAS_PLUGINS: ' a , @b/c ,' });
  assert.equal(config.port, 7070);
  assert.deepEqual(config.plugins, ['a', '@b/c']);
});

test('everything wrong is said at once, by the name that the operator used', () => {
  assert.throws(
    () => readConfig({ LMAS_PORT: 'http', REDIS_URL: 'localhost', LMAS_LOG_LEVEL: 'loud' }),
    (error) =>
      errorCode(error) === 'INVALID_CONFIG' &&
      error instanceof LmasError &&
      ['LMAS_PORT', 'REDIS_URL', 'LMAS_LOG_LEVEL'].every((name) => error.message.includes(name)),
  );
});

test('who has no home directory has to name one for the data, and needs none then', (t) => {
  if (process.getuid?.() !== 0) return t.skip('Only root can become a user whom nobody knows.');
  const script = `
    const { readConfig } = await import(${JSON.stringify(new URL('config.ts', import.meta.url).href)});
    process.setuid(54_321);
    console.log(readConfig({ LMAS_DATA_DIR: '/data' }).dataDir);
    readConfig({});`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: {},
  });
  assert.equal(stdout, '/data\n');
  assert.match(stderr, /LMAS_DATA_DIR: this user has no home directory/);
});

test('Redis may be silent for half of a lease at most; what nobody has set fits itself', () => {
  const environment = { REDIS_URL: 'redis://localhost', LMAS_RUN_LEASE_MS: '6000' };
  assert.equal(readConfig({ ...environment, LMAS_REDIS_SILENCE_MS: '3000' }).redisSilenceMs, 3_000);
  assert.throws(
    () => readConfig({ ...environment, LMAS_REDIS_SILENCE_MS: '3001' }),
    (error) => errorCode(error) === 'INVALID_CONFIG' && /SILENCE_MS: .*3000.*LEASE_MS/.test(String(error)),
  );
  assert.equal(readConfig(environment).redisSilenceMs, 3_000);
  assert.equal(readConfig({ ...environment, LMAS_RUN_LEASE_MS: '60000' }).redisSilenceMs, 4_000);
  assert.equal(readConfig({ ...environment, LMAS_RUN_LEASE_MS: '1500' }).redisSilenceMs, 1_500);
  assert.equal(readConfig({ LMAS_RUN_LEASE_MS: '1500' }).redisSilenceMs, 4_000, 'a private Redis');
});

test('the help names every setting with its default', () => {
  const text = describeSettings();
  for (const name of ['LMAS_DATA_DIR', 'REDIS_URL', 'LMAS_RUN_LEASE_MS  (default: 8000)'])
    assert.ok(text.includes(name));
});

test('a slip in the name of a setting is told, with the name that was meant', () => {
  const environment = {
    LMAS_RUN_LEASE: '1',
    LMAS_DATADIR: '/x',
    LMAS_MOON: '1',
    LMAS_PORT: '1',
    LMAS_URL: 'x',
    LMAS_TIMEOUT: '10s',
    LMAS_ORCHESTRATOR_HANDED_OVER: '1',
    PATH: '',
  };
  assert.deepEqual(unknownSettings(environment), [
    { variable: 'LMAS_RUN_LEASE', meant: 'LMAS_RUN_LEASE_MS' },
    { variable: 'LMAS_DATADIR', meant: 'LMAS_DATA_DIR' },
    { variable: 'LMAS_MOON', meant: undefined },
  ]);
});

test('what is shown of the settings has no secret in it', () => {
  const secrets = { LMAS_MASTER_KEY: 'MARKER-a', LMAS_MASTER_KEY_COMMAND: 'fetch MARKER-b' };
  const redis = { REDIS_URL: 'redis://u:MARKER-c@db.example.org' };
  const shown = showSettings(
    readConfig({ ...secrets, ...redis, LMAS_PORT: '8080', LMAS_WEBHOOK_ALLOW: '10.1.0.0/16' }),
  );
  assert.ok(!JSON.stringify(shown).includes('MARKER'));
  const of = (name: string) => shown.find(({ variable }) => variable === name);
  assert.equal(of('LMAS_MASTER_KEY')?.value, '(set)');
  assert.deepEqual(of('LMAS_PORT'), { variable: 'LMAS_PORT', value: '8080', isDefault: false });
  assert.equal(of('LMAS_CONCURRENCY')?.isDefault, true);
  assert.deepEqual(of('LMAS_TLS_CERT_FILE'), { variable: 'LMAS_TLS_CERT_FILE', value: null, isDefault: true });
});
