/**
 * VMs that are powered off, moved by the KVM plugin, against the suite: scripted libvirt daemons, and the real
 * programs that copy disks; kvm-relocation.lab.test.ts takes real ones.
 */
import { kvmPlugin } from '@lmas/plugin-kvm';
import { CopiedRelocationWorld, FakeRelocationWorld } from '@lmas/plugin-kvm/testing';
import { describeRelocations } from './relocation-suite.ts';

describeRelocations('kvm', {
  plugin: kvmPlugin,
  options: FakeRelocationWorld.options,
  makeWorld: async () => new FakeRelocationWorld(),
});

describeRelocations('kvm, disks copied,', {
  plugin: kvmPlugin,
  options: CopiedRelocationWorld.options,
  makeWorld: async () => new CopiedRelocationWorld(),
});
