/**
 * A whole move between vCenters of each release, by its own published types: an endpoint refuses what they do not have yet. Which certificate
 * the source vCenter is told of the other one depends on the source's release: its SHA-1 fingerprint, and from 9.0 on itself as well.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import { Rehearsal } from './rehearsal.ts';

interface Locator {
  readonly sslThumbprint?: string;
  readonly sslCertificate?: string;
}

const MOVES: readonly {
  readonly from: string;
  readonly to: string;
  readonly door: 'soap' | 'json';
  readonly certificate: boolean;
}[] = [
  { from: '6.5', to: '6.5', door: 'soap', certificate: false },
  { from: '6.7', to: '6.7', door: 'soap', certificate: false },
  { from: '6.7.3', to: '9.0.0.0', door: 'soap', certificate: false },
  { from: '9.0.0.0', to: '9.0.0.0', door: 'soap', certificate: true },
  { from: '9.0.0.0', to: '9.0.0.0', door: 'json', certificate: true },
  { from: '9.0.0.0', to: '8.0.3.0', door: 'json', certificate: true },
];

describe('a move from one release to another', { concurrency: 3 }, () => {
  for (const { from, to, door, certificate } of MOVES) {
    test(`${from} to ${to} (${door}): checked, moved, confirmed, and the other vCenter is known by what this release knows`, async () => {
      const shape = { source: { apiVersion: from }, destination: { apiVersion: to } };
      await using rehearsal = await Rehearsal.make(door === 'json' ? { ...shape, protocol: door } : shape);
      const { world, signal } = rehearsal;
      const driver = await rehearsal.driver({}, {}, door === 'soap' ? { protocol: 'soap' } : {});
      const { findings } = await driver.check({ signal });
      assert.deepEqual(
        findings.filter(({ severity }) => severity === 'blocker'),
        [],
      );
      const prepared = await driver.prepare({ signal });
      await rehearsal.perform(driver, prepared);
      await driver.confirm(prepared, { signal });
      assert.deepEqual(world.running(), ['esx-b1']);
      const { spec } = world.source.endpoint.lastParameters('RelocateVM_Task') as unknown as {
        readonly spec: { readonly service: Locator };
      };
      const { sslThumbprint, sslCertificate } = spec.service;
      assert.equal(sslThumbprint, world.destination.certificate?.thumbprint);
      assert.equal(sslCertificate !== undefined, certificate);
      if (sslCertificate !== undefined) {
        assert.equal(new X509Certificate(sslCertificate).fingerprint, sslThumbprint, 'both are of one certificate');
      }
      assert.equal(world.maxRunningCopies(), 1);
      assert.deepEqual(world.violations(), []);
    });
  }
});
