import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CENSORED, Redactor } from './redact.ts';

test('secrets are known by their form, wherever they stand', () => {
  const key = `lmas_${'a'.repeat(12)}_${'B'.repeat(43)}`;
  const master = `${'k'.repeat(43)}=`;
  const forms = [
    [`the key ${key}.`, `the key ${CENSORED}.`],
    ['whsec_c2VjcmV0', CENSORED],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nrest', `${CENSORED}\nrest`],
    ['-----BEGIN PRIVATE KEY-----\ncut off', CENSORED],
    ['authorization: Bearer abcdef123', `authorization: Bearer ${CENSORED}`],
    ['"password":"correct horse battery staple"', `"password":"${CENSORED}"`],
    ['password="a,b,c", host=db', `password="${CENSORED}", host=db`],
    [String.raw`{"apiKey":"abc\"def","a":1}`, `{"apiKey":"${CENSORED}","a":1}`],
    [String.raw`{"m":"{\"token\":\"a b\\\"c\",\"n\":1}"}`, String.raw`{"m":"{\"token\":\"${CENSORED}\",\"n\":1}"}`],
    ['redis://u:p@ss@h', `redis://${CENSORED}@h`],
    ['{"token":7,"secret":null,"msg":"kept"}', '{"token":7,"secret":null,"msg":"kept"}'],
    ['https://user:pa/ss@host/path', `https://${CENSORED}@host/path`],
    ['privateKey: -----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----', `privateKey: ${CENSORED}`],
    ['cookie: sid=abc; b=c', `cookie: ${CENSORED}`],
    ['Basic dXNlcjpwYXNz', `Basic ${CENSORED}`],
    ['rediss://lmas:hunter2@db:6380', `rediss://${CENSORED}@db:6380`],
    ['https://x/hook?token=abc&a=1', `https://x/hook?token=${CENSORED}&a=1`],
    ['{"db_password": "hunter2"}', `{"db_password": "${CENSORED}"}`],
    [`LMAS_MASTER_KEY is ${master}`, `LMAS_MASTER_KEY is ${CENSORED}`],
    ['eyJhbGciOi.eyJzdWIi.c2ln', CENSORED],
  ] as const;
  for (const [text, redacted] of forms) assert.equal(new Redactor([]).text(text), redacted);
});

/** Characters at which a look that is too simple stops: each secret has all that its place can have. */
const MARKERS = [
  'correct horse battery',
  'one,two;three}',
  'it"is"said',
  "it's",
  'user@host',
  'usr/local/share',
  'back\\slash\\',
];

test('a secret with spaces, commas, quotes and slashes in it goes as a whole', () => {
  const places: readonly [what: string, (secret: string) => string][] = [
    ['JSON', (secret) => JSON.stringify({ password: secret, apiKey: secret, after: 'kept' })],
    ['JSON within JSON', (secret) => JSON.stringify({ msg: JSON.stringify({ token: secret }), after: 'kept' })],
    ['JSON thrice', (s) => JSON.stringify([JSON.stringify([JSON.stringify({ secret: s })]), 'kept'])],
    ['double quotes', (secret) => `password=${JSON.stringify(secret)} kept`],
    ['single quotes', (secret) => `db_passphrase: '${secret.replaceAll(/[\\']/g, '\\$&')}' kept`],
    ['no quotes', (secret) => `PASSWORD=x${secret}\nkept`],
    ['a quote that is never closed', (secret) => `kept\nprivate-key: "${secret.replaceAll('"', '')}`],
    ['cookie', (secret) => `cookie: sid=${secret}; b=${secret}\nkept`],
    ['set-cookie', (secret) => `Set-Cookie: sid=${secret}\nkept`],
    ['authorization', (secret) => `authorization: Digest response=${secret}\nauthorization: Bearer ${secret}\nkept`],
    ['query', (secret) => `https://x/hook?token=${encodeURIComponent(secret)}&a=kept`],
    ['address', (s) => `redis://u:${s.replaceAll(/[\s"]/g, '')}@ss@h kept`],
  ];
  for (const [what, write] of places) {
    for (const marker of MARKERS) {
      const redacted = new Redactor([]).text(write(marker));
      assert.match(redacted, /kept/, `${what}: ${redacted}`);
      for (const part of marker.split(/[^a-z]+/).filter(Boolean)) {
        assert.ok(!redacted.split(/[^a-z]+/i).includes(part), `${what}: ${marker} left ${redacted}`);
      }
    }
  }
});

test('what a report needs stays', () => {
  const fingerprint = `SHA256:${'A'.repeat(43)}`;
  for (const text of [
    fingerprint,
    'm_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10',
    'LOGIN_REFUSED: host-a refused the login of root.',
    'https://lmas.example.org:7070/v1/migrations',
    'ops@example.org',
  ]) {
    assert.equal(new Redactor([]).text(text), text);
  }
  const record = {
    token: 7,
    run: 3,
    credential: 'ops',
    hostKeys: [fingerprint],
    publicKey: 'ssh-ed25519 AAAA',
    secret: null,
  };
  const redactor = new Redactor([]);
  assert.deepEqual(redactor.value(record), record);
  assert.equal(redactor.count, 0);
});

test('secrets are known by the name of their field, and by being known', () => {
  const redactor = new Redactor(['open sesame']);
  const value = { a: [{ apiKey: 'x', nested: { 'private-key': ['y'] } }], note: 'say open sesame', 'open sesame': 1 };
  assert.deepEqual(redactor.value(value), {
    a: [{ apiKey: CENSORED, nested: { 'private-key': CENSORED } }],
    note: `say ${CENSORED}`,
    [CENSORED]: 1,
  });
  assert.equal(redactor.count, 4);
  assert.equal(redactor.text('password: open sesame'), `password: ${CENSORED}`);
  assert.equal(redactor.count, 5, 'each place once');
});
