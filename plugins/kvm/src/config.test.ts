import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSchema } from './config.ts';

test('a host is a name or address alone: where SSH would take more, the rest has settings of its own', () => {
  const rest = { hostKeys: [`SHA256:${'A'.repeat(43)}`], migrationAddress: '10.1.0.11' };
  for (const host of ['kvm-1.example.org', '10.1.0.11', 'fd00::11', 'fe80::11%eth0'])
    assert.equal(configSchema.parse({ host, ...rest }).host, host);
  for (const host of ['ssh://kvm-1', 'https://kvm-1/', 'root@kvm-1', 'kvm-1:22', '[fd00::11]', 'a b'])
    assert.match(configSchema.safeParse({ host, ...rest }).error?.message ?? '', /alone, without ssh.*credential/);
});
