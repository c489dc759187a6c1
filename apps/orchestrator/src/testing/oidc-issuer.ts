/**
 * For tests: a real issuer, with its discovery document and its keys over HTTP, and tokens signed with them; web pages are
 * logged in by authorization code with PKCE (RFC 7636), everybody as the same person. It can be down on command. Whoever
 * made it closes it.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export class Issuer {
  readonly server = createServer((request, response) => {
    this.asked.push(request.url ?? '');
    if (this.isDown) {
      request.socket.destroy();
      return;
    }
    response.setHeader('access-control-allow-origin', '*');
    const url = new URL(request.url ?? '', this.url);
    if (url.pathname === '/authorize') return void this.#authorize(url.searchParams, response);
    if (url.pathname === '/token') return void this.#exchange(request, response);
    const endpoints = { authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token` };
    const document = request.url?.startsWith('/.well-known')
      ? { issuer: this.url, jwks_uri: `${this.url}/keys`, ...endpoints }
      : { keys: [...this.keys.values()].map(({ jwk }) => jwk) };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(document));
  });
  /** PKCE challenge of each code that was given out and not yet exchanged. */
  readonly #challenges = new Map<string, string>();
  /** Why codes were not exchanged. */
  readonly refusedExchanges: string[] = [];
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

  #authorize(asked: URLSearchParams, response: ServerResponse): void {
    const code = randomBytes(16).toString('hex');
    this.#challenges.set(code, asked.get('code_challenge') ?? '');
    const back = new URL(asked.get('redirect_uri') ?? '');
    back.searchParams.set('code', code);
    back.searchParams.set('state', asked.get('state') ?? '');
    response.writeHead(302, { location: back.href }).end();
  }

  async #exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = new URLSearchParams(await text(request));
    const code = sent.get('code') ?? '';
    const challenge = createHash('sha256')
      .update(sent.get('code_verifier') ?? '')
      .digest('base64url');
    const isKnown = this.#challenges.get(code) === challenge;
    this.#challenges.delete(code);
    if (!isKnown) this.refusedExchanges.push(sent.toString());
    const answer = isKnown ? { access_token: await this.token(), token_type: 'Bearer' } : { error: 'invalid_grant' };
    response.writeHead(isKnown ? 200 : 400, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
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
