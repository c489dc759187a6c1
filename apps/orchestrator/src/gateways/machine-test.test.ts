import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeMachine, parseFacts } from './machine-test.ts';

const HEAD = 'system Linux\narchitecture x86_64\nkernel 6.12.0\nfree 1000000';
const statusOf = (text: string) => new Map(judgeMachine(parseFacts(text)).map(({ name, status }) => [name, status]));

test('a machine without the program yet', () => {
  assert.deepEqual(
    [...statusOf(`${HEAD}\n`)],
    [
      ['system', 'ok'],
      ['tools', 'ok'],
      ['space', 'ok'],
      ['gateway program', 'skipped'],
    ],
  );
});

test('a machine that will not do', () => {
  const verdict = statusOf(
    'system Linux\narchitecture aarch64\nkernel 6.1\nlacks flock\nlacks tar\nfree 1000\nreport\nexec format error',
  );
  assert.deepEqual([...verdict.values()], ['failed', 'failed', 'warning', 'failed']);
  assert.equal(statusOf('').get('space'), 'skipped');
});

test('a program that is not as it was uploaded is a failure by its code', () => {
  const checks = judgeMachine(parseFacts(`${HEAD}\nchanged .lmas/bundles/abc\n`));
  const found = checks.find(({ name }) => name === 'gateway program');
  assert.equal(found?.status, 'failed');
  assert.match(found.found, /not run \(GATEWAY_CORRUPT\)/);
  assert.match(found.remedy ?? '', /\.lmas\/bundles\/abc/);
});

test('what the program says counts; that it cannot intercept only for those who need that', () => {
  const missing = (name: string) => ({ name, verdict: 'missing', found: 'not found', mend: 'Install it.' });
  const report = (redirected: object[], transparent: object[]) =>
    `${HEAD}\nreport\n${JSON.stringify([
      { mode: 'redirected', checks: redirected },
      { mode: 'transparent', checks: transparent },
    ])}`;
  const plain = statusOf(report([{ name: 'encryption', verdict: 'ok', found: 'x', mend: '' }], [missing('nft')]));
  assert.deepEqual([plain.get('encryption'), plain.get('transparent routes')], ['ok', 'skipped']);
  const broken = statusOf(report([missing('native calls (koffi)')], []));
  assert.deepEqual([broken.get('native calls (koffi)'), broken.get('transparent routes')], ['failed', 'ok']);
});
