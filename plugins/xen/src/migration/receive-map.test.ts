import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOW, redirect } from './receive-map.ts';

const map = {
  SM: 'http://10.2.0.11/services/SM?session_id=OpaqueRef:aa',
  xenops: 'http://10.2.0.11/services/xenops?session_id=OpaqueRef:aa',
  host: 'OpaqueRef:host',
  session_id: 'OpaqueRef:aa',
  master: 'http://10.2.0.10',
};
const routes = {
  [FLOW.hostTls]: { host: '10.1.0.9', port: 443 },
  [FLOW.hostPlain]: { host: '10.1.0.9', port: 80 },
};

test('the host’s URLs lead to the gateway, the rest of them and everything else stays', () => {
  assert.deepEqual(redirect(map, { address: '10.2.0.11', coordinator: null }, routes), {
    ...map,
    SM: 'http://10.1.0.9/services/SM?session_id=OpaqueRef:aa',
    xenops: 'http://10.1.0.9/services/xenops?session_id=OpaqueRef:aa',
  });
});

test('a coordinator that is the receiving host itself is reached the same way', () => {
  const redirected = redirect(
    { ...map, master: 'http://10.2.0.11' },
    { address: '10.2.0.11', coordinator: null },
    routes,
  );
  assert.equal(redirected.master, 'http://10.1.0.9');
});

test('another coordinator is relayed over an address of its own when there is one', () => {
  const relayed = {
    ...routes,
    [FLOW.coordinatorTls]: { host: '10.1.0.8', port: 443 },
    [FLOW.coordinatorPlain]: { host: '10.1.0.8', port: 80 },
  };
  assert.equal(redirect(map, { address: '10.2.0.11', coordinator: '10.2.0.10' }, relayed).master, 'http://10.1.0.8');
});

test('a coordinator that changed since the routes were opened is not led to the old one, and not past the gateway', () => {
  const relayed = {
    ...routes,
    [FLOW.coordinatorTls]: { host: '10.1.0.8', port: 443 },
    [FLOW.coordinatorPlain]: { host: '10.1.0.8', port: 80 },
  };
  const before = { address: '10.2.0.11', coordinator: '10.2.0.12' };
  assert.throws(() => redirect(map, before, relayed), { code: 'INCOMPATIBLE', retryable: true });
});

test('IPv6 addresses and ports survive', () => {
  const six = {
    ...map,
    SM: 'https://[FD00:0:0:0::2]:8443/services/SM?x=1',
    xenops: 'http://[fd00::2]/x',
    master: 'http://[fd00::3]',
  };
  const gateway = {
    [FLOW.hostTls]: { host: 'fd00::9', port: 443 },
    [FLOW.hostPlain]: { host: 'fd00::9', port: 80 },
  };
  assert.equal(
    redirect(six, { address: 'fd00::2', coordinator: null }, gateway).SM,
    'https://[fd00::9]:8443/services/SM?x=1',
  );
});

test('a map that leads elsewhere than the routes were opened for is refused', () => {
  assert.throws(() => redirect(map, { address: '10.2.0.12', coordinator: null }, routes), { code: 'INCOMPATIBLE' });
});

test('a gateway at other ports, or at two addresses, is refused and may be tried again', () => {
  for (const wrong of [
    { host: '10.1.0.9', port: 4443 },
    { host: '10.1.0.7', port: 443 },
  ]) {
    assert.throws(
      () => redirect(map, { address: '10.2.0.11', coordinator: null }, { ...routes, [FLOW.hostTls]: wrong }),
      {
        code: 'INVALID_CONFIG',
        retryable: true,
      },
    );
  }
});
