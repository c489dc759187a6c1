import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeSettings, readConfig, unknownSettings } from './config.ts';
import { errorCode, LmasError } from './errors.ts';

test('defaults are safe: loopback, a private Redis', () => {
  const config = readConfig({});
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 7070);
  assert.equal(config.redisUrl, undefined);
  assert.deepEqual(config.plugins, ['@lmas/plugin-kvm', '@lmas/plugin-xen']);
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
