import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose';
import { errorCode } from '../errors.ts';
import { Issuer } from '../testing/oidc-issuer.ts';
import { createTokenVerifier, isToken } from './oidc.ts';
import { oidcConfigSchema, readOidcConfig } from './oidc-config.ts';

const issuer = new Issuer();
before(() => issuer.listen());
after(() => issuer.close());
beforeEach(async () => {
  Object.assign(issuer, { asked: [], isDown: false });
  issuer.keys.clear();
  await issuer.addKey('k1');
});

const configOf = (changes: object = {}) =>
  oidcConfigSchema.parse({
    issuer: issuer.url,
    audience: 'lmas',
    clockToleranceMs: 5_000,
    jwksCooldownMs: 0,
    grants: [
      { claim: 'realm_access.roles', value: 'root', role: 'admin', project: null },
      { claim: 'groups', value: 'tenant', role: 'operator', project: { claim: 'tenant' } },
      { claim: 'groups', value: 'ops', role: 'operator', project: null },
      { claim: 'https://example.org/team', value: 'red', role: 'viewer', project: 'red' },
    ],
    ...changes,
  });
const refused = (code: string, text: RegExp) => (error: unknown) =>
  errorCode(error) === code && error instanceof Error && text.test(error.message);

test('a good token is its holder, found by discovery, its keys fetched once', async () => {
  const verifier = createTokenVerifier(configOf());
  const token = await issuer.token({ name: 'Ada' });
  assert.ok(isToken(token));
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await verifier.verify(token), {
      ...{ kind: 'oidc', id: 'ada', name: 'Ada', role: 'operator', project: null, operations: null, expiresAt: null },
    });
  }
  assert.deepEqual(issuer.asked, ['/.well-known/openid-configuration', '/keys']);
});

test('grants: the first that fits, nested claims, claims with dots, a project that the token names', async () => {
  const verifier = createTokenVerifier(configOf());
  const granted = async (claims: object) => {
    const { role, project } = await verifier.verify(await issuer.token({ groups: [], ...claims }));
    return [role, project];
  };
  assert.deepEqual(await granted({ realm_access: { roles: ['x', 'root'] }, groups: ['ops'] }), ['admin', null]);
  assert.deepEqual(await granted({ groups: 'ops' }), ['operator', null]);
  assert.deepEqual(await granted({ 'https://example.org/team': 'red' }), ['viewer', 'red']);
  assert.deepEqual(await granted({ groups: ['tenant'], tenant: 'blue' }), ['operator', 'blue']);
  for (const claims of [{}, { groups: ['tenant'] }, { groups: ['tenant'], tenant: null }, { groups: { ops: 1 } }]) {
    await assert.rejects(granted(claims), refused('FORBIDDEN', /grants nothing/), JSON.stringify(claims));
  }
});

test('every algorithm with a private key; none without', async () => {
  const verifier = createTokenVerifier(configOf());
  for (const alg of ['RS256', 'PS384', 'ES512', 'EdDSA']) {
    await issuer.addKey(alg, alg);
    assert.equal((await verifier.verify(await issuer.token({}, { kid: alg }))).id, 'ada', alg);
  }
  const claims = { groups: ['ops'] };
  const unsecured = new UnsecuredJWT(claims).setIssuer(issuer.url).setAudience('lmas').setSubject('ada');
  await assert.rejects(verifier.verify(unsecured.setExpirationTime('1m').encode()), refused('UNAUTHENTICATED', /./));
  const publicKey = issuer.keys.get('k1')?.publicKey;
  assert.ok(publicKey !== undefined);
  const shared = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
    .setIssuer(issuer.url)
    .setAudience('lmas')
    .setSubject('ada')
    .setExpirationTime('1m')
    .sign(Buffer.from(await exportSPKI(publicKey)));
  await assert.rejects(verifier.verify(shared), refused('UNAUTHENTICATED', /algorithm/));
});

test('expired, too early, for others, by others, changed, nonsense: refused, saying why', async () => {
  const verifier = createTokenVerifier(configOf());
  const inS = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
  const cases: [string, Promise<string> | string, RegExp][] = [
    ['expired', issuer.token({}, { expiresInS: -10 }), /expired/],
    ['without an end', issuer.token({ exp: undefined }), /exp/],
    ['too early', issuer.token({ nbf: inS(30) }), /nbf/],
    ['for another', issuer.token({ aud: 'another' }), /aud/],
    ['for nobody', issuer.token({ aud: undefined }), /aud/],
    ['of another issuer', issuer.token({ iss: 'https://evil.example.org' }), /iss/],
    ['of nobody', issuer.token({ sub: undefined }), /sub/],
    ['nonsense', 'a.b.c', /no token/],
  ];
  for (const [what, token, why] of cases) {
    await assert.rejects(verifier.verify(await token), refused('UNAUTHENTICATED', why), what);
  }
  const [head, body, signature = ''] = (await issuer.token()).split('.');
  const payload = JSON.parse(Buffer.from(body ?? '', 'base64url').toString());
  const richer = Buffer.from(JSON.stringify({ ...payload, realm_access: { roles: ['root'] } })).toString('base64url');
  await assert.rejects(verifier.verify(`${head}.${richer}.${signature}`), refused('UNAUTHENTICATED', /signature/));
  const late = await issuer.token({}, { expiresInS: -3 });
  assert.equal((await verifier.verify(late)).id, 'ada', 'clocks differ a little');
});

test('keys rotate: a new one is fetched when a token names it; one that was taken away is not accepted any more', async () => {
  const verifier = createTokenVerifier(configOf());
  const former = await issuer.token();
  await verifier.verify(former);
  await issuer.addKey('k2');
  await verifier.verify(await issuer.token({}, { kid: 'k2' }));
  issuer.keys.delete('k1');
  await issuer.addKey('k3');
  await verifier.verify(await issuer.token({}, { kid: 'k3' }));
  await assert.rejects(verifier.verify(former), refused('UNAUTHENTICATED', /does not know/));
});

test('unknown keys do not have the provider asked again and again', async () => {
  const verifier = createTokenVerifier(configOf({ jwksCooldownMs: 60_000 }));
  await verifier.verify(await issuer.token());
  const askedOnce = issuer.asked.length;
  const stranger = new Issuer();
  await stranger.addKey('stranger');
  Object.defineProperty(stranger, 'url', { value: issuer.url });
  for (let i = 0; i < 20; i++) {
    const token = await stranger.token({}, { kid: 'stranger' });
    await assert.rejects(verifier.verify(token), refused('UNAUTHENTICATED', /does not know/));
  }
  assert.equal(issuer.asked.length, askedOnce);
});

test('a provider that does not answer: UNAVAILABLE, asked seldom, and all is well when it is back', async () => {
  const verifier = createTokenVerifier(configOf({ jwksUrl: `${issuer.url}/keys` }));
  const token = await issuer.token();
  issuer.isDown = true;
  for (let i = 0; i < 20; i++)
    await assert.rejects(verifier.verify(token), refused('UNAVAILABLE', /identity provider/));
  assert.equal(issuer.asked.length, 1);
  issuer.isDown = false;
  await sleep(1_050);
  assert.equal((await verifier.verify(token)).id, 'ada');
});

test('settings that would be dangerous or cannot be are refused, all at once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-oidc-'));
  try {
    const path = join(directory, 'oidc.json');
    const wrong = { issuer: 'http://idp.example.org', audience: 'lmas', algorithms: ['HS256'], grants: [] };
    await writeFile(path, JSON.stringify(wrong));
    await assert.rejects(readOidcConfig(path), refused('INVALID_CONFIG', /issuer: https.*algorithms.*grants/s));
    await assert.rejects(readOidcConfig(join(directory, 'none')), refused('INVALID_CONFIG', /cannot be read/));
  } finally {
    await rm(directory, { recursive: true });
  }
});
