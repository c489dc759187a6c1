import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { domain, PROCEDURES } from './procedures.ts';
import { numberOf, stringOf, type TypedParam, typedParams } from './typed-params.ts';
import {
  array,
  type Codec,
  decode,
  double,
  encode,
  fixedOpaque,
  hyper,
  int,
  opaque,
  optional,
  string,
  struct,
  uhyper,
  uint,
  XdrError,
} from './xdr.ts';

const hex = (buffer: Buffer): string => buffer.toString('hex').replaceAll(/(.{8})(?=.)/g, '$1 ');

/** Hand-made after RFC 4506; the first of each is the value. */
const GOLDEN: [name: string, codec: Codec<unknown>, value: unknown, wire: string][] = (
  [
    ['int -1', int, -1, 'ffffffff'],
    ['uint', uint, 0xdead_beef, 'deadbeef'],
    ['hyper', hyper, -2n, 'ffffffff fffffffe'],
    ['uhyper', uhyper, 0x0102_0304_0506_0708n, '01020304 05060708'],
    ['double', double, 1.5, '3ff80000 00000000'],
    ['string, padded', string(10), 'hello', '00000005 68656c6c 6f000000'],
    ['string, whole words', string(10), 'abcd', '00000004 61626364'],
    ['string, empty', string(10), '', '00000000'],
    ['string, UTF-8', string(10), 'é', '00000002 c3a90000'],
    ['fixed opaque', fixedOpaque(3), Buffer.from([1, 2, 3]), '01020300'],
    ['optional, none', optional(int), null, '00000000'],
    ['optional, some', optional(int), 7, '00000001 00000007'],
    ['array', array(int, 3), [1, 2], '00000002 00000001 00000002'],
    [
      'domain',
      domain,
      { name: 'vm', uuid: Buffer.from('00112233445566778899aabbccddeeff', 'hex'), id: -1 },
      '00000002 766d0000 00112233 44556677 8899aabb ccddeeff ffffffff',
    ],
    [
      'typed parameters of every type',
      typedParams,
      [
        { field: 'a', type: 'int', value: -1 },
        { field: 'b', type: 'uint', value: 1 },
        { field: 'c', type: 'llong', value: -1n },
        { field: 'd', type: 'ullong', value: 1n },
        { field: 'e', type: 'double', value: 2 },
        { field: 'f', type: 'boolean', value: true },
        { field: 'g', type: 'string', value: 'x' },
      ],
      `00000007 00000001 61000000 00000001 ffffffff 00000001 62000000 00000002 00000001
       00000001 63000000 00000003 ffffffff ffffffff 00000001 64000000 00000004 00000000 00000001
       00000001 65000000 00000005 40000000 00000000 00000001 66000000 00000006 00000001
       00000001 67000000 00000007 00000001 78000000`.replaceAll(/\s+/g, ' '),
    ],
    [
      'arguments of MIGRATE_FINISH3_PARAMS',
      PROCEDURES.domainMigrateFinish3Params.args,
      {
        params: [{ field: 'destination_name', type: 'string', value: 'g1' }],
        ...{ cookie: Buffer.from('ab'), flags: 9, cancelled: 1 },
      },
      `00000001 00000010 64657374 696e6174 696f6e5f 6e616d65 00000007 00000002 67310000
       00000002 61620000 00000009 00000001`.replaceAll(/\s+/g, ' '),
    ],
    [
      'arguments of START_DIRTY_RATE_CALC',
      PROCEDURES.domainStartDirtyRateCalc.args,
      {
        domain: { name: 'vm', uuid: Buffer.from('00112233445566778899aabbccddeeff', 'hex'), id: 3 },
        ...{ seconds: 1, flags: 0 },
      },
      '00000002 766d0000 00112233 44556677 8899aabb ccddeeff 00000003 00000001 00000000',
    ],
  ] as [string, Codec<never>, unknown, string][]
).map(([name, codec, value, wire]) => [name, codec as unknown as Codec<unknown>, value, wire]);

for (const [name, codec, value, wire] of GOLDEN) {
  test(`${name}: golden, both ways, and every truncation refused`, () => {
    const encoded = encode(codec, value);
    assert.equal(hex(encoded), wire);
    assert.deepEqual(decode(codec, encoded), value);
    for (let length = 0; length < encoded.length; length += 1) {
      assert.throws(() => decode(codec, encoded.subarray(0, length)), XdrError, `${length} bytes`);
    }
    assert.throws(() => decode(codec, Buffer.concat([encoded, Buffer.alloc(4)])), XdrError, 'bytes left over');
  });
}

test('whatever is written is read back (random structures, larger than the first buffer)', () => {
  const codec = struct({ name: string(5_000), blob: opaque(5_000), list: array(optional(uhyper), 500), last: int });
  for (let round = 0; round < 200; round += 1) {
    const value = {
      name: randomBytes(randomInt(1_500)).toString('hex'),
      blob: randomBytes(randomInt(3_000)),
      list: Array.from({ length: randomInt(300) }, () =>
        randomInt(2) === 0 ? null : randomBytes(8).readBigUInt64BE(),
      ),
      last: randomInt(-1_000, 1_000),
    };
    const encoded = encode(codec, value);
    assert.equal(encoded.length % 4, 0);
    assert.deepEqual(decode(codec, encoded), value);
  }
});

describe('what no honest peer sends is refused', () => {
  const cases: [string, Codec<unknown>, string][] = [
    ['a string longer than allowed', string(3) as Codec<unknown>, '00000004 61626364'],
    ['a count larger than allowed', array(int, 1) as Codec<unknown>, '00000002 00000001 00000002'],
    ['a count that would exhaust memory', array(int, 0xffff_ffff) as unknown as Codec<unknown>, '7fffffff'],
    ['padding that is not zero', string(3) as Codec<unknown>, '00000001 61626300'],
    ['an optional that is neither there nor not', optional(int) as Codec<unknown>, '00000002 00000001'],
    [
      'a typed parameter of a type that is none',
      typedParams as unknown as Codec<unknown>,
      '00000001 00000001 61000000 00000009 00000001',
    ],
  ];
  for (const [name, codec, wire] of cases) {
    test(name, () => {
      assert.throws(() => decode(codec, Buffer.from(wire.replaceAll(' ', ''), 'hex')), XdrError);
    });
  }

  test('and what does not fit is not written', () => {
    assert.throws(() => encode(string(2), 'abc'), XdrError);
    assert.throws(() => encode(fixedOpaque(16), Buffer.alloc(15)), XdrError);
    assert.throws(() => encode(array(int, 1), [1, 2]), XdrError);
  });
});

test('typed parameters are found by name and type', () => {
  const params: TypedParam[] = [
    { field: 'n', type: 'ullong', value: 12n },
    { field: 's', type: 'string', value: 'x' },
  ];
  assert.equal(numberOf(params, 'n'), 12);
  assert.equal(numberOf(params, 's'), undefined);
  assert.equal(stringOf(params, 's'), 'x');
  assert.equal(stringOf(params, 'n'), undefined);
});
