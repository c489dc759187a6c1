import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError } from './errors.ts';
import { parseBandwidth, parseDuration, parseHostPort, parseMoment, parseRange } from './units.ts';

const refused = (text: RegExp, remedy?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof CliError, String(error));
  assert.match(error.message, text);
  if (remedy !== undefined) assert.match(error.remedy ?? '', remedy);
  return true;
};

test('bandwidths with one reading', () => {
  const cases: [string, number | null][] = [
    ['500Mbit', 62_500_000],
    ['500Mbit/s', 62_500_000],
    ['10Gbit', 1_250_000_000],
    ['1.5Gbit', 187_500_000],
    ['800kbit', 100_000],
    ['60MB', 60_000_000],
    ['60 MB/s', 60_000_000],
    ['60MiB', 62_914_560],
    ['1Gibit', 134_217_728],
    ['2048B', 2_048],
    ['unlimited', null],
  ];
  for (const [text, bytesPerSec] of cases) assert.equal(parseBandwidth(text), bytesPerSec, text);
});

test('bandwidths with two readings are refused with both spelled out', () => {
  for (const text of ['500M', '500Mb', '500mb', '500Mbps', '500MBps', '500m']) {
    assert.throws(
      () => parseBandwidth(text),
      refused(/ambiguous: bits or bytes/, /500Mbit .* 500MB .* 4\.00 Gbit\/s/),
      text,
    );
  }
  assert.throws(() => parseBandwidth('5000'), refused(/ambiguous/, /5000bit .* 5000B/));
});

test('bandwidths without a reading', () => {
  for (const text of ['', 'fast', '-5Mbit', '5Mbit/h', '5,5Mbit', '1e9B', '5 parsec']) {
    assert.throws(() => parseBandwidth(text), refused(/not a bandwidth|not known/), text);
  }
  assert.throws(() => parseBandwidth('8kbit'), refused(/less than the least/));
  assert.throws(() => parseBandwidth(`${'9'.repeat(40)}GB`), refused(/more than can be counted/));
});

test('durations', () => {
  assert.equal(parseDuration('300', 'ms'), 300);
  assert.equal(parseDuration('1.5s'), 1_500);
  assert.equal(parseDuration('10min'), 600_000);
  assert.equal(parseDuration('2h'), 7_200_000);
  assert.throws(() => parseDuration('10'), refused(/no unit/, /10s or 10min/));
  assert.throws(() => parseDuration('10m'), refused(/minutes or milliseconds/));
  assert.throws(() => parseDuration('soon'), refused(/not a duration/));
});

test('ranges', () => {
  assert.deepEqual(parseRange('4-16', { min: 1, max: 64 }), { min: 4, max: 16 });
  assert.deepEqual(parseRange('8', { min: 1, max: 64 }), { min: 8, max: 8 });
  assert.throws(() => parseRange('16-4', { min: 1, max: 64 }), refused(/ends before/, /4-16/));
  assert.throws(() => parseRange('0-4', { min: 1, max: 64 }), refused(/leaves what is possible/));
  assert.throws(() => parseRange('a-b', { min: 1, max: 64 }), refused(/not a range/));
});

test('hosts with and without ports', () => {
  assert.deepEqual(parseHostPort('gw-a.example.org'), { host: 'gw-a.example.org' });
  assert.deepEqual(parseHostPort('192.0.2.1:2222'), { host: '192.0.2.1', port: 2_222 });
  assert.deepEqual(parseHostPort('2001:db8::1'), { host: '2001:db8::1' });
  assert.deepEqual(parseHostPort('[2001:db8::1]:22'), { host: '2001:db8::1', port: 22 });
  for (const text of ['', ':22', 'a b', 'host:']) assert.throws(() => parseHostPort(text), refused(/not HOST/), text);
  assert.throws(() => parseHostPort('host:70000'), refused(/not a port/));
});

test('a point in time is so long ago, or has an offset', () => {
  const nowMs = Date.parse('2027-03-27T12:00:00Z');
  assert.equal(parseMoment('24h', nowMs), '2027-03-26T12:00:00.000Z');
  assert.equal(parseMoment('2027-03-27T23:30:00+01:00'), '2027-03-27T22:30:00.000Z');
  for (const text of ['2027-03-27', '2027-03-27T23:30:00', '2027-13-27T23:30:00Z', 'yesterday'])
    assert.throws(() => parseMoment(text, nowMs), { code: 'INVALID_VALUE' }, text);
});
