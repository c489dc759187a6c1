import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCode, type LmasError } from '../errors.ts';
import { createAddressGuard, parseNetwork } from './address-guard.ts';

const resolver = (names: Record<string, readonly string[]>) => async (host: string) => {
  const found = names[host];
  if (found === undefined) throw new Error(`ENOTFOUND ${host}`);
  return found;
};
const refuses = (code: string) => (error: unknown) => errorCode(error) === code;

const SPECIAL = [
  '127.0.0.1',
  '10.1.1.1',
  '172.16.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:a9fe:a9fe]',
  '[64:ff9b::7f00:1]',
  '[2002:7f00:1::]',
  '[fe80::1]',
  '[fd00:ec2::254]',
];
/** The same loopback address, as people write it who hope that nobody looks. */
const DISGUISED = ['0x7f.1', '2130706433', '017700000001', '127.1', '①②⑦.0.0.1'];

for (const host of [...SPECIAL, ...DISGUISED]) {
  test(`${host} is refused`, async () => {
    const guard = createAddressGuard([]);
    const url = new URL(`https://${host}/hook`);
    await assert.rejects(guard.check(url), refuses('WEBHOOK_ADDRESS_REFUSED'));
    assert.throws(() => guard.checkLiteral(url), refuses('WEBHOOK_ADDRESS_REFUSED'));
  });
}

test('a name is judged by every address it has, and its first one is what is connected to', async () => {
  const guard = createAddressGuard(
    [],
    resolver({ good: ['93.184.215.14', '2606:2800:21f::1'], rebinding: ['93.184.215.14', '127.0.0.1'], empty: [] }),
  );
  assert.equal(await guard.check(new URL('https://good/')), '93.184.215.14');
  await assert.rejects(guard.check(new URL('https://rebinding/')), refuses('WEBHOOK_ADDRESS_REFUSED'));
  await assert.rejects(guard.check(new URL('https://empty/')), refuses('WEBHOOK_NAME_NOT_RESOLVED'));
  await assert.rejects(guard.check(new URL('https://nowhere/')), refuses('WEBHOOK_NAME_NOT_RESOLVED'));
});

test('what number a name has is told by the cause only, for logs; a number that was named may be named again', async () => {
  const guard = createAddressGuard([], resolver({ 'db.corp': ['10.2.3.4'], 'www.corp': ['93.184.215.14'] }));
  for (const [url, said, address] of [
    ['https://db.corp/', /db\.corp has an address that is not public/, '10.2.3.4'],
    ['http://www.corp/', /http:\/\/ to www\.corp would cross/, '93.184.215.14'],
  ] as const) {
    await assert.rejects(guard.check(new URL(url)), (error: LmasError) => {
      assert.match(error.message, said);
      assert.ok(!`${error.message} ${error.remedy}`.includes(address));
      assert.ok(String(error.cause).includes(address));
      return true;
    });
  }
  await assert.rejects(guard.check(new URL('https://10.2.3.4/')), /10\.2\.3\.4 is not a public address/);
});

test('what the operator allows is allowed, also in the clear; nothing else is', async () => {
  const guard = createAddressGuard([parseNetwork('10.1.0.0/16'), parseNetwork('fd00::1')]);
  assert.equal(await guard.check(new URL('http://10.1.2.3:8080/')), '10.1.2.3');
  assert.equal(await guard.check(new URL('http://[fd00::1]/')), 'fd00::1');
  await assert.rejects(guard.check(new URL('https://10.2.0.1/')), refuses('WEBHOOK_ADDRESS_REFUSED'));
  await assert.rejects(guard.check(new URL('https://[fd00::2]/')), refuses('WEBHOOK_ADDRESS_REFUSED'));
  await assert.rejects(guard.check(new URL('http://93.184.215.14/')), refuses('WEBHOOK_ADDRESS_REFUSED'));
  assert.throws(() => parseNetwork('10.1.0.0/40'));
  assert.throws(() => parseNetwork('here'));
});
