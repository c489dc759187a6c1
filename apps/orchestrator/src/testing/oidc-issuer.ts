/**
 * For tests: a real issuer, with its discovery document and its keys over HTTP, and tokens signed with them. It can be down
 * on command. Whoever made it closes it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export class Issuer {
  readonly server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    if (this.isDown) {
      request.socket.destroy();
      return;
    }
    const document = request.url?.startsWith('/.well-known')
      ? { issuer: this.url, jwks_uri: `${this.url}/keys` }
      : { keys: [...this.keys.values()].map(({ jwk }) => jwk) };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(document));
  });
  readonly keys = new Map<string, { jwk: JWK; privateKey: CryptoKey; publicKey: CryptoKey; alg: string }>();
  asked: string[] = [];
  isDown = false;

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async addKey(kid: string, alg = 'ES256'): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    this.keys.set(kid, { jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, privateKey, publicKey, alg });
  }

  async token(claims: Record<string, unknown> = {}, { kid = 'k1', expiresInS = 60 } = {}): Promise<string> {
    const key = this.keys.get(kid);
    assert.ok(key !== undefined);
    const now = Math.floor(Date.now() / 1_000);
    return await new SignJWT({
      ...{ iss: this.url, aud: 'lmas', sub: 'ada', iat: now, exp: now + expiresInS, groups: ['ops'] },
      ...claims,
    })
      .setProtectedHeader({ alg: key.alg, kid })
      .sign(key.privateKey);
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
