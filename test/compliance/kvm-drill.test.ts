/**
 * Drills of the KVM plugin against the suite: scripted libvirt daemons, and the real programs that copy the disks;
 * kvm-drill.lab.test.ts takes real daemons and guests.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { kvmPlugin } from '@lmas/plugin-kvm';
import { drillOptions, FakeDrillWorld } from '@lmas/plugin-kvm/testing';
import { describeDrills } from './drill-suite.ts';

const directory = mkdtempSync(join(tmpdir(), 'lmas-kvm-drills-'));
after(() => rmSync(directory, { recursive: true, force: true }));

describeDrills('kvm', {
  plugin: kvmPlugin,
  options: drillOptions(directory),
  makeWorld: async () => new FakeDrillWorld(directory),
});
