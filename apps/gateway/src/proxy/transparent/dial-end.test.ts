// What a hostile peer, authenticated and all, can make the far end of a transparent route do by what it says in OPEN: nothing. It is refused before
// a target exists, so that no call to the kernel is made.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OpenPayload } from '../../protocol/payloads.ts';
import type { Stream } from '../../tunnel/stream.ts';
import { discardWire } from '../../tunnel/wire.ts';
import { Dialer } from '../dialer.ts';
import type { TransparentConfig } from './address-set.ts';
import { TransparentEnd } from './dial-end.ts';

const config: TransparentConfig = {
  kind: 'transparent',
  end: 'dial',
  pairs: [{ source: '10.1.0.10', destination: '10.2.0.10' }],
  ports: [8000],
  maxStreams: 16,
  priority: 'bulk',
};
const open = (from: string, to: string, port: number): OpenPayload['endpoints'] => ({
  source: { address: from, port: 50_000 },
  destination: { address: to, port },
});

test('a peer cannot make the gateway dial, or dial as, anything outside the route', () => {
  const rules = { add: () => undefined, remove: () => undefined };
  const end = new TransparentEnd('vm', config, rules);
  const refused: string[] = [];
  const dialer = new Dialer('vm', end, {
    accept: (_stream, wire) => discardWire(wire),
    refuse: (_stream, error) => refused.push(error.code),
  });
  const attempts = [
    open('10.1.0.10', '10.2.0.11', 8000),
    open('10.1.0.10', '10.2.0.10', 22),
    open('10.1.0.11', '10.2.0.10', 8000),
    open('10.2.0.10', '10.1.0.10', 8000),
    open('10.1.0.10', '127.0.0.1', 8000),
    open('127.0.0.1', '10.2.0.10', 8000),
    open('::ffff:a01:a', '::ffff:a02:a', 8000),
    open('10.1.0.10', '169.254.169.254', 8000),
    null,
  ];
  for (const [ordinal, endpoints] of attempts.entries()) dialer.push(ordinal, { over: false } as Stream, endpoints);
  const outside = Array<string>(8).fill('ADDRESS_OUTSIDE_ROUTE');
  assert.deepEqual(refused, [...outside, 'ENDPOINTS_REFUSED']);
});
