/** The KVM plugin against the suite, on scripted libvirt daemons; kvm.lab.test.ts takes the same windows on real ones. */
import { kvmPlugin } from '@lmas/plugin-kvm';
import { fakeComplianceWorld } from '@lmas/plugin-kvm/testing';
import { describePlugin } from './suite.ts';

for (const mode of ['direct', 'peer-to-peer'] as const) {
  const options = kvmPlugin.optionsSchema.parse({ disks: 'shared', mode });
  describePlugin(`kvm, ${mode},`, { plugin: kvmPlugin, options, makeWorld: fakeComplianceWorld });
}
