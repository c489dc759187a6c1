// The control handshake over memory, with messages that are lost or late: whatever breaks off where, both ends keep a common secret.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../errors.ts';
import { ControlDecoder, ControlType, encodeControl } from '../protocol/handshake.ts';
import { SecretChain } from '../security/keys.ts';
import { until } from '../testing/support.ts';
import { ControlChannel } from './control-channel.ts';

const sessionId = randomBytes(16);
const local = () => ({ suite: 'aes-256-gcm' as const, sessionId, instanceId: randomBytes(16), windowBytes: 1 << 20 });

/** Messages from the connector wait in the network until they are passed on; the others go through. */
class Attempt {
  readonly waiting: { type: number; body: Buffer }[] = [];
  readonly accepted: Promise<unknown>;
  readonly connected: Promise<unknown>;
  readonly #there: Duplex;
  readonly #network: Duplex;
  readonly #ends: ControlChannel[];

  constructor(
    chains: { acceptor: SecretChain; connector: SecretChain },
    answers: (type: number) => boolean = () => true,
  ) {
    const [here, network] = duplexPair();
    const [there, acceptorSide] = duplexPair();
    this.#there = there;
    this.#network = network;
    const exporter = randomBytes(32);
    const [connector, acceptor] = [new ControlChannel(here), new ControlChannel(acceptorSide)];
    this.#ends = [connector, acceptor];
    this.accepted = acceptor.handshake('acceptor', local(), chains.acceptor, Buffer.from(exporter));
    this.connected = connector.handshake('connector', local(), chains.connector, Buffer.from(exporter));
    for (const end of [this.accepted, this.connected]) end.catch(() => undefined);
    const [up, down] = [new ControlDecoder(), new ControlDecoder()];
    network.on('data', (chunk: Buffer) => this.waiting.push(...(up.push(chunk) ?? [])));
    there.on('data', (chunk: Buffer) => {
      for (const { type, body } of down.push(chunk) ?? []) {
        if (answers(type)) network.write(encodeControl(type, body));
      }
    });
  }
  /** Lets the connector's next message through, which must be of this type. */
  async pass(type: number): Promise<void> {
    await until(() => this.waiting.length > 0, `the connector says ${type}`);
    const message = this.waiting.shift();
    assert.equal(message?.type, type);
    this.#there.write(encodeControl(type, message?.body ?? Buffer.alloc(0)));
  }
  /** Ends both halves; what waits is lost. */
  end(): void {
    for (const socket of [this.#there, this.#network]) socket.destroy();
    for (const end of this.#ends) end.close(new GatewayError('CONTROL_LOST'));
  }
  async complete(): Promise<void> {
    for (const type of [ControlType.HELLO, ControlType.PROOF, ControlType.READY]) await this.pass(type);
    await Promise.all([this.accepted, this.connected]);
  }
}

const makeChains = () => ({ acceptor: new SecretChain(), connector: new SecretChain() });

/** The newest secret that both hold; undefined when they have none. */
function commonSecret({ acceptor, connector }: ReturnType<typeof makeChains>): Buffer | undefined {
  const epoch = Math.min(acceptor.epoch, connector.epoch);
  const [a, c] = [acceptor.get(epoch), connector.get(epoch)];
  return a !== undefined && c?.equals(a) === true ? a : undefined;
}

test('a READY that comes late confirms no secret but its own, and its channel is not taken', async () => {
  const chains = makeChains();
  await new Attempt(chains).complete();
  // The connector has the next secret; its READY hangs in the network, and it gives the connection up.
  const first = new Attempt(chains);
  await first.pass(ControlType.HELLO);
  await first.pass(ControlType.PROOF);
  await first.connected;
  // The second attempt comes as far as the acceptor's proof, which is lost.
  const second = new Attempt(chains, (type) => type !== ControlType.PROOF);
  await second.pass(ControlType.HELLO);
  await second.pass(ControlType.PROOF);
  await until(() => chains.acceptor.epoch === 3, 'the acceptor has made its secret');
  await first.pass(ControlType.READY);
  await assert.rejects(first.accepted, { code: 'CONTROL_LOST' });
  second.end();
  assert.ok(commonSecret(chains), 'both still hold a common secret');
  await new Attempt(chains).complete();
  assert.ok(commonSecret(chains));
});

test('a PROOF that comes late, after another handshake, is refused and changes nothing', async () => {
  const chains = makeChains();
  await new Attempt(chains).complete();
  const first = new Attempt(chains);
  await first.pass(ControlType.HELLO);
  await until(() => first.waiting.length === 1, 'its proof waits');
  await new Attempt(chains).complete();
  const before = commonSecret(chains);
  await first.pass(ControlType.PROOF);
  await assert.rejects(first.accepted, { code: 'CONTROL_LOST' });
  assert.ok(before !== undefined && commonSecret(chains) === before);
  await new Attempt(chains).complete();
});

test('whichever messages are lost in whichever handshakes, the next whole one succeeds', async () => {
  const broken = fc.array(fc.record({ passed: fc.integer({ min: 0, max: 3 }), proofLost: fc.boolean() }), {
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(broken, async (attempts) => {
      const chains = makeChains();
      for (const { passed, proofLost } of attempts) {
        const attempt = new Attempt(chains, (type) => !(proofLost && type === ControlType.PROOF));
        const types = [ControlType.HELLO, ControlType.PROOF, ControlType.READY].slice(0, proofLost ? 2 : 3);
        for (const type of types.slice(0, passed)) await attempt.pass(type);
        if (passed >= 2) await until(() => chains.acceptor.epoch > chains.connector.epoch || !proofLost, 'proved');
        attempt.end();
        await Promise.allSettled([attempt.accepted, attempt.connected]);
      }
      await new Attempt(chains).complete();
      assert.ok(commonSecret(chains));
      assert.equal(chains.acceptor.epoch, chains.connector.epoch);
    }),
    { numRuns: 60 },
  );
});

test('a peer that sends and does not read is given up, and nothing is kept for it', async () => {
  const [here, there] = duplexPair();
  const channel = new ControlChannel(here);
  for (let count = 0; count < 100_000 && channel.isOpen; count += 1) channel.send(ControlType.PONG, Buffer.alloc(16));
  assert.equal(channel.isOpen, false);
  assert.ok(here.destroyed && here.writableLength < 128 << 10, `${here.writableLength} bytes wait`);
  there.destroy();
});
