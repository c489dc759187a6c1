// The three messages of a join, with an acceptor that hears them in an order which only a bad network or an attacker makes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { SlabPool } from '../platform/slab.ts';
import { emptyHeader, FrameType } from '../protocol/frame.ts';
import { JOIN_ACCEPT_BYTES, JOIN_BYTES, JOIN_CONFIRM_BYTES } from '../protocol/handshake.ts';
import type { FrameOpener, FrameSealer } from '../security/sealing.ts';
import { FrameReader } from './frame-reader.ts';
import { readExactly } from './handshake-io.ts';
import { type JoinPolicy, joinAsAcceptor, joinAsConnector } from './join.ts';

const secret = randomBytes(32);
const sessionId = randomBytes(16);
const signal = AbortSignal.timeout(20_000);

/** As a session keeps it. */
function makePolicy(): JoinPolicy {
  const generations = new Map<number, number>();
  return {
    sessionId,
    suite: 'aes-256-gcm',
    maxSubflows: 64,
    secret: (epoch) => (epoch === 1 ? secret : undefined),
    lastGeneration: (id) => generations.get(id) ?? 0,
    seen: (id, generation) => generations.set(id, generation),
  };
}

/** Begins a join of subflow 0; its CONFIRM waits in the network until `confirm` is called. */
async function begin(policy: JoinPolicy, generation: number) {
  const [here, network] = duplexPair();
  const [there, acceptorSide] = duplexPair();
  const accepted = joinAsAcceptor(acceptorSide, policy, { signal });
  accepted.catch(() => undefined);
  const identity = { sessionId, epoch: 1, subflowId: 0, generation };
  const joined = joinAsConnector(here, secret, 'aes-256-gcm', identity, { signal });
  joined.catch(() => undefined);
  const pass = async (from: Duplex, to: Duplex, length: number) =>
    to.write(await readExactly(from, length, { signal }));
  await pass(network, there, JOIN_BYTES);
  await pass(there, network, JOIN_ACCEPT_BYTES);
  return { accepted, joined, confirm: () => pass(network, there, JOIN_CONFIRM_BYTES) };
}

test('a join that is confirmed in time is taken', async () => {
  const { accepted, joined, confirm } = await begin(makePolicy(), 1);
  await confirm();
  assert.equal((await accepted).join.generation, 1);
  await joined;
});

test('a CONFIRM that comes after a newer join displaces nothing', async () => {
  const policy = makePolicy();
  const stale = await begin(policy, 1);
  const newer = await begin(policy, 2);
  await newer.confirm();
  assert.equal((await newer.accepted).join.generation, 2);
  await stale.confirm();
  await assert.rejects(stale.accepted, { code: 'JOIN_REPLAYED' });
});

test('a JOIN that comes back to its sender as an answer is refused', async () => {
  const [here, mirror] = duplexPair();
  const joined = joinAsConnector(
    here,
    secret,
    'aes-256-gcm',
    { sessionId, epoch: 1, subflowId: 0, generation: 1 },
    { signal },
  );
  const refused = assert.rejects(joined, { code: 'JOIN_INVALID' });
  mirror.write(await readExactly(mirror, JOIN_BYTES, { signal }));
  await refused;
});

test('the connector takes no answer to another join of its own', async () => {
  const policy = makePolicy();
  const first = await begin(policy, 1);
  const answers: Buffer[] = [];
  const [here, network] = duplexPair();
  const [there, acceptorSide] = duplexPair();
  const accepted = joinAsAcceptor(acceptorSide, policy, { signal });
  accepted.catch(() => undefined);
  there.write(await join(network, here, 2));
  answers.push(await readExactly(there, JOIN_ACCEPT_BYTES, { signal }));
  const [again, other] = duplexPair();
  const replayed = joinAsConnector(again, secret, 'aes-256-gcm', identityOf(3), { signal });
  const refused = assert.rejects(replayed, { code: 'JOIN_INVALID' });
  await readExactly(other, JOIN_BYTES, { signal });
  other.write(Buffer.concat(answers));
  await refused;
  await first.confirm();
});

test('a frame opens at the other end of its own subflow, and nowhere else: not reflected, not in the next generation, not twice', async () => {
  const policy = makePolicy();
  const joinedKeys = async (generation: number) => {
    const { accepted, joined, confirm } = await begin(policy, generation);
    await confirm();
    return { connector: await joined, acceptor: (await accepted).keys };
  };
  const [old, live] = [await joinedKeys(1), await joinedKeys(2)];
  const pool = new SlabPool(0);
  const sealed = (sealer: FrameSealer) => {
    const [from, out] = [pool.acquire(100), pool.acquire(1_000)];
    const header = { ...emptyHeader(), type: FrameType.PAD, payloadLength: 100, plainLength: 100 };
    return Buffer.from(out.bytes.subarray(0, sealer.seal(header, from, 0, out, 0)));
  };
  const read = (opener: FrameOpener, ...frames: Buffer[]) => {
    let taken = 0;
    const reader = new FrameReader(pool, opener, () => {
      taken += 1;
    });
    for (const frame of frames) {
      frame.copy(reader.buffer());
      reader.received(frame.length);
    }
    return taken;
  };
  const frame = sealed(live.connector.sealer);
  const stale = sealed(old.connector.sealer);
  assert.throws(() => read(live.connector.opener, frame), { code: 'FRAME_CORRUPTED' }, 'reflected');
  assert.throws(() => read(live.acceptor.opener, stale), { code: 'FRAME_CORRUPTED' }, 'of the generation before');
  assert.equal(read(live.acceptor.opener, frame), 1);
  assert.throws(() => read(live.acceptor.opener, frame), { code: 'FRAME_REPLAYED' });
});

const identityOf = (generation: number) => ({ sessionId, epoch: 1, subflowId: 0, generation });

/** Sends a JOIN from `here` and takes it off the network. */
function join(network: Duplex, here: Duplex, generation: number): Promise<Buffer> {
  joinAsConnector(here, secret, 'aes-256-gcm', identityOf(generation), { signal }).catch(() => undefined);
  return readExactly(network, JOIN_BYTES, { signal });
}
