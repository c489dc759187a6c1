import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAddress, parseRedisUrl } from './address.ts';

test('one server, sentinels, a cluster; a description shows no password', () => {
  assert.deepEqual(parseRedisUrl('redis://localhost'), {
    ...{ kind: 'server', nodes: [{ host: 'localhost', port: 6379 }], tls: false, db: 0 },
  });
  const sentinel = parseRedisUrl('rediss+sentinel://ops:p%40ss:word@a,b:26380,[fd00::1]:26381/main/2');
  assert.deepEqual(sentinel, {
    ...{ kind: 'sentinel', masterName: 'main', username: 'ops', password: 'p@ss:word', tls: true, db: 2 },
    nodes: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 26380 },
      { host: 'fd00::1', port: 26381 },
    ],
  });
  assert.equal(describeAddress(sentinel), 'rediss+sentinel://a:26379,b:26380,[fd00::1]:26381/main');
  assert.equal(describeAddress(parseRedisUrl('redis+cluster://:secret@a:7000,b')), 'redis+cluster://a:7000,b:6379');
});

test('what cannot be right is refused in words, without the password', () => {
  for (const [url, words] of [
    ['localhost:6379', /must begin/],
    ['redis://:secret@a,b', /several hosts/],
    ['redis+sentinel://:secret@a,b', /name of the master/],
    ['redis+cluster://:secret@a/3', /no databases/],
    ['redis://:secret@a:99999', /no host and port/],
    ['redis://:secret@a/x', /no number/],
  ] as const) {
    assert.throws(
      () => parseRedisUrl(url),
      (error: Error) => words.test(error.message) && !error.message.includes('secret'),
    );
  }
});
