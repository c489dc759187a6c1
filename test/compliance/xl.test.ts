/** Hosts with plain Xen keep the whole contract: the scripted xl behind a real sshd. */
import { after, before } from 'node:test';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { describePlugin } from './suite.ts';
import { DOM0_SSHD, plugin, XlWorld, xlMissing } from './xl-world.ts';

if (xlMissing() === false) {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());
  describePlugin('xl', { plugin, makeWorld: () => XlWorld.make(sshd) });
}
