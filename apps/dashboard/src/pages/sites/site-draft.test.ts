import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Site } from '@lmas/client';
import { draftOf, inputOf, settingsOf } from './site-draft.ts';

const gateway = {
  ssh: { host: 'gw-a.example.org', port: 2_222, hostKeys: ['SHA256:a', 'SHA256:b'], credential: 'ops' },
  ...{ tunnelAddress: '203.0.113.10', listenAddress: '10.0.0.5', listens: false },
  tunnelPorts: { min: 8_000, max: 8_010 },
  ...{ hypervisorAddress: '10.1.0.10', moreHypervisorAddresses: ['10.1.0.11', '10.1.0.12'] },
};
const site: Site = { id: 'lisbon', description: 'Rack 7', gateway, createdAt: '2030-01-01T00:00:00.000Z' };

test('a site goes through the form and back as it was', () => {
  assert.deepEqual(settingsOf(draftOf(site)), { description: 'Rack 7', gateway });
  const { listenAddress: _, ...plain } = gateway;
  assert.deepEqual(settingsOf(draftOf({ ...site, gateway: plain })).gateway, plain, 'nothing is added');
});

test('a site without a gateway machine has none, whatever was typed before', () => {
  assert.equal(settingsOf({ ...draftOf(site), hasGateway: false }).gateway, null);
  assert.equal(draftOf({ ...site, gateway: null }).hasGateway, false);
  assert.equal(inputOf('x', draftOf({ ...site, gateway: null })).gateway, null);
});
