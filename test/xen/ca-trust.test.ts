/**
 * Pools whose certificates a CA has signed, and nothing is pinned. XAPI names its coordinator by an address: where the certificate is for the
 * name alone, that address is not trusted, and the member is found by its name, or the error says what is wrong.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import type { MemberSpec } from '../lab/xapi/model.ts';
import { nameOf } from './loopback-names.ts';

const signal = AbortSignal.timeout(110_000);
const byName = ({ management }: MemberSpec): string[] => [`DNS:${nameOf(management)}`];
const byBoth = (member: MemberSpec): string[] => [...byName(member), `IP:${member.management}`];

/** Of the source pool, whose second member is coordinator. */
async function session(world: XenWorld, more: object = {}) {
  const { source } = world;
  source.setCoordinator(1);
  const [first = ''] = source.members.map(({ management }) => management);
  const trust = { tlsFingerprints: [], caCertificate: world.ca.certificate };
  return await world.session(source, undefined, undefined, [], { ...trust, host: nameOf(first), ...more });
}

interface Refusal {
  readonly code?: string;
  readonly message: string;
  readonly remedy?: string;
}

test('certificates are for the addresses as well: a redirect is followed, and every member is trusted', async () => {
  await using world = await XenWorld.make({}, byBoth);
  const found = await session(world);
  assert.equal((await found.findVm(world.vm.id, { signal })).presence, 'running');
  assert.ok(world.source.redirects > 0);
  const steps = await Array.fromAsync(found.verify?.({ signal }) ?? []);
  assert.equal(steps.find(({ name }) => name === 'members')?.outcome, 'ok');
});

test('certificates are for the names alone: a redirect to an address is not followed, and the error says why', async () => {
  await using world = await XenWorld.make({}, byName);
  const [, second = ''] = world.source.members.map(({ management }) => management);
  await assert.rejects(session(world), ({ code, message, remedy }: Refusal) => {
    assert.equal(code, 'HOST_KEY_MISMATCH');
    assert.ok(message.includes(`${second} shows a certificate that is not for ${second}, but for DNS:`), message);
    assert.match(remedy ?? '', /otherMembers/);
    return true;
  });
  assert.equal(world.source.sessions.count, 0);
});

test('certificates are for the names alone, and the settings have the names: a redirect goes to the name', async () => {
  await using world = await XenWorld.make({}, byName);
  const { source } = world;
  const otherMembers = source.members.slice(1).map(({ management }) => nameOf(management));
  const found = await session(world, { otherMembers });
  assert.equal((await found.findVm(world.vm.id, { signal })).presence, 'running');
  const steps = await Array.fromAsync(found.verify?.({ signal }) ?? []);
  assert.equal(steps.find(({ name }) => name === 'members')?.outcome, 'ok');
  source.setCoordinator(0);
  assert.equal((await found.findVm(world.vm.id, { signal })).presence, 'running', 'and the other way round');
});

test('a certificate that another CA has signed is not believed, and no password is sent', async () => {
  await using world = await XenWorld.make({}, byBoth);
  await using other = await XenWorld.make({}, byBoth);
  await assert.rejects(session(world, { caCertificate: other.ca.certificate }), ({ code, message }: Refusal) => {
    assert.equal(code, 'HOST_KEY_MISMATCH');
    assert.match(message, /no trusted CA vouches for/);
    return true;
  });
  assert.deepEqual(world.source.calls, []);
});
