/**
 * Watches every key and every nonce of all gateways in this process. A key of a frame direction is derived once to seal and once to open,
 * at the two ends; a third derivation would be a key that came back, or that both ends seal with. Under each sealer no nonce comes twice.
 */
import assert from 'node:assert/strict';
import crypto, { createHash } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import type { TestContext } from 'node:test';
import { AeadContext } from '../platform/openssl.ts';
import { type Aead, NodeAead } from '../security/sealing.ts';

export class KeyWatch {
  /** By the hash of the key. */
  readonly #derivations = new Map<string, number>();
  readonly #nonces = new Map<object, Set<string>>();
  seals = 0;

  /** Until the test ends. */
  static start(t: TestContext): KeyWatch {
    const watch = new KeyWatch();
    const derive = crypto.hkdfSync;
    t.mock.method(crypto, 'hkdfSync', (...args: Parameters<typeof derive>) => {
      const key = derive(...args);
      if (String(args[3]) === 'lmas 1 key') watch.#derived(Buffer.from(key));
      return key;
    });
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    for (const prototype of [AeadContext.prototype, NodeAead.prototype] as Aead[]) {
      const seal = prototype.seal;
      t.mock.method(prototype, 'seal', function (this: Aead, ...args: Parameters<Aead['seal']>) {
        watch.#sealing(this, args[0]);
        seal.apply(this, args);
      });
    }
    return watch;
  }

  get keys(): number {
    return this.#derivations.size;
  }
  get sealers(): number {
    return this.#nonces.size;
  }

  #derived(key: Buffer): void {
    const name = createHash('sha256').update(key).digest('hex');
    const times = (this.#derivations.get(name) ?? 0) + 1;
    assert.ok(times <= 2, 'a key was derived for a third time');
    this.#derivations.set(name, times);
  }
  #sealing(sealer: Aead, nonce: Buffer): void {
    const nonces = this.#nonces.get(sealer) ?? new Set();
    this.#nonces.set(sealer, nonces);
    const name = nonce.toString('latin1');
    assert.ok(!nonces.has(name), 'a nonce was used twice under a key');
    nonces.add(name);
    this.seals += 1;
  }
}
