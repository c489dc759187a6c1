import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinMac, nextSecret, nextTrafficSecret, proof, SecretChain, trafficKey, trafficSecret } from './keys.ts';

const exporter = Buffer.alloc(32, 1);
const sessionId = Buffer.alloc(16, 2);
const binding = {
  version: 1,
  suite: 1,
  sessionId,
  subflowId: 3,
  generation: 4,
  connectorNonce: Buffer.alloc(32, 5),
  acceptorNonce: Buffer.alloc(32, 6),
};

// Computed once from PROTOCOL.md's formulas; they may change only with the protocol version.
const GOLDEN = {
  first: 'ac3f15de900de27020e7ba8cb7a86736453da6e4cf55dc63b44143b1657935df',
  second: 'b1ea52854d5a92bbced5e94632c1ec54087a8ab03b54a2ea5f6d2189a10a2699',
  proof: '43111b137ae5133edb2e1aa0e74e0b13f0570c250cfb841258edd52aad2a39fc',
  join: '491dcc0cc6cd30c7694b0f6fcde1965241ae48fb5d9d46e0cb0a6bd1ea563918',
  traffic: 'd9412f9c469069394ed9f7be995157c683f2509ad97e8739efb95340ef15c6de',
  key: '2fc283ca3370921b3d298a49ba98138e9c341edde64fda6e660833066607c6b6',
  prefix: '68a4e929',
  rekeyed: '8f5ccd30bde17b40a8a4cfee449b90802960fe6747e153e4f0b8b96f82523809',
};

test('the schedule gives these secrets', () => {
  const first = nextSecret(null, exporter, sessionId);
  const second = nextSecret(first, exporter, sessionId);
  const traffic = trafficSecret(second, binding, 'connector');
  const { key, noncePrefix } = trafficKey(traffic);
  const golden = {
    first: first.toString('hex'),
    second: second.toString('hex'),
    proof: proof(first, exporter, 'acceptor', Buffer.from('a'), Buffer.from('c')).toString('hex'),
    join: joinMac(first, 'join', Buffer.from('j')).toString('hex'),
    traffic: traffic.toString('hex'),
    key: key.toString('hex'),
    prefix: noncePrefix.toString('hex'),
    rekeyed: nextTrafficSecret(traffic).toString('hex'),
  };
  assert.deepEqual(golden, GOLDEN);
});

test('every part of the binding and the sender change the traffic secret', () => {
  const secret = Buffer.alloc(32, 9);
  const variants = [
    binding,
    { ...binding, version: 2 },
    { ...binding, suite: 2 },
    { ...binding, sessionId: Buffer.alloc(16, 3) },
    { ...binding, subflowId: 4 },
    { ...binding, generation: 5 },
    { ...binding, connectorNonce: Buffer.alloc(32, 7) },
    { ...binding, acceptorNonce: Buffer.alloc(32, 7) },
  ];
  const all = variants.flatMap((variant) => [
    trafficSecret(secret, variant, 'connector'),
    trafficSecret(secret, variant, 'acceptor'),
  ]);
  assert.equal(new Set(all.map((each) => each.toString('hex'))).size, 16);
});

test('a chain keeps the confirmed secret until its successor is confirmed', () => {
  const chain = new SecretChain();
  const [one, other, two, three] = [1, 2, 3, 4].map((byte) => Buffer.alloc(32, byte)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  assert.equal(chain.epoch, 0);
  assert.ok(chain.knows(0));
  assert.ok(chain.propose(0, null, one));
  assert.equal(chain.epoch, 1);
  assert.ok(chain.knows(0), 'the handshake that made it may have broken off');
  assert.ok(chain.propose(0, null, other));
  assert.equal(chain.confirm(one), false, 'another took its place');
  assert.ok(chain.confirm(other));
  assert.ok(!chain.knows(0), 'a peer without the secret cannot begin again');
  assert.equal(chain.propose(0, null, one), false);
  assert.ok(chain.propose(1, other, two));
  assert.deepEqual(chain.get(1), Buffer.alloc(32, 2));
  assert.deepEqual(chain.get(2), Buffer.alloc(32, 3));
  assert.ok(chain.propose(2, two, three));
  assert.equal(chain.get(1), undefined, 'the peer proved that it holds 2');
  assert.deepEqual(chain.get(2), Buffer.alloc(32, 3));
  assert.deepEqual(other, Buffer.alloc(32), 'what is not needed any more is wiped');
  assert.equal(chain.propose(1, other, one), false, 'nothing follows a secret that is gone');
  chain.wipe();
  assert.equal(chain.epoch, 0);
});
