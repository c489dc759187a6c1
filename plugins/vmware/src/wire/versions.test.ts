import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseVersion, compareVersions, jsonReleaseFor } from './versions.ts';

test('versions are numbers, not text', () => {
  assert.ok(compareVersions('8.0.10.0', '8.0.2.0') > 0);
  assert.ok(compareVersions('6.7', '6.7.0.0') === 0);
});

test('the newest that both know is spoken', () => {
  assert.equal(chooseVersion(['8.0.1.0', '8.0.2.0', '7.0.3.2', '6.5']), '8.0.2.0');
  assert.equal(chooseVersion(['12.0.0.0', '9.0.0.0', '8.0.3.0']), '9.0.0.0');
  assert.equal(chooseVersion([]), '6.5');
});

for (const [apiVersion, release] of [
  ['6.7.3', undefined],
  ['8.0.0.1', undefined],
  ['8.0.1.0', '8.0.1.0'],
  ['8.0.2.1', '8.0.2.0'],
  ['8.0.3.0', '8.0.3.0'],
  ['9.1.0.0', '9.0.0.0'],
] as const) {
  test(`VI/JSON of a vCenter with API ${apiVersion}: ${release}`, () =>
    assert.equal(jsonReleaseFor(apiVersion), release));
}
