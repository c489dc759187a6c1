import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Check, examine } from './checks.ts';
import { renderReport, works } from './report.ts';

const checks: Check[] = [
  { name: 'nft', verdict: 'ok', found: '/usr/sbin/nft', mend: '' },
  { name: 'net.ipv4.ip_forward', verdict: 'missing', found: '0', mend: 'sysctl -w net.ipv4.ip_forward=1' },
];

test('what is missing stands out, with how to mend it below', () => {
  const text = renderReport('transparent', checks);
  assert.match(text, /ok {7}nft {18}\/usr\/sbin\/nft\n/);
  assert.match(
    text,
    /MISSING {2}net\.ipv4\.ip_forward {2}0\n +→ sysctl -w net\.ipv4\.ip_forward=1\n {2}It cannot work here: 1 /,
  );
  assert.equal(works(checks), false);
  assert.equal(works(checks.slice(0, 1)), true);
});

test('redirected mode works on any machine that runs these tests, root or not', () => {
  assert.ok(works(examine('redirected')));
});
