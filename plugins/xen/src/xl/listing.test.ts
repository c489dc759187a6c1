import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions, readConfigs, readInfo, readList } from './listing.ts';

const HEAD =
  'Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label';
const UUID = '5b1c6b5e-8f0e-4a53-9f0d-4f2f0f3ab001';
/** As printf of list_domains writes it. */
const line = (name: string, state: string, reason = '-', more = '') =>
  `${name.padEnd(40)}     7  1024     2     ${state}      12.5 ${UUID} ${reason.padStart(8)}                -${more}`;
const one = (...parts: Parameters<typeof line>) => readList(`${HEAD}\n${line(...parts)}\n`)[0];

test('each state of a domain is told from the others', () => {
  const state = (letters: string, reason?: string) => {
    const { paused, suspended, ended, dying } = one('web', letters, reason) ?? {};
    return Object.entries({ paused, suspended, ended, dying }).flatMap(([name, is]) => (is ? [name] : []));
  };
  assert.deepEqual([state('r-----'), state('-b----'), state('------'), state('--p---')], [[], [], [], ['paused']]);
  assert.deepEqual([state('---ss-', '2'), state('---sr-', '1')], [['suspended'], ['ended']]);
  assert.deepEqual(
    [state('---sc-', '3'), state('---s-d', '0'), state('--p--d')],
    [['ended'], ['ended', 'dying'], ['paused', 'dying']],
  );
});

test('names with spaces and numbers, long names, and what later releases append', () => {
  for (const name of ['web server 2', 'x'.repeat(60), '(null)', 'web--migratedaway']) {
    const domain = one(name, '-b----', '-', ' privileged hardware');
    assert.deepEqual([domain?.name, domain?.domid, domain?.memoryMib, domain?.uuid], [name, 7, 1024, UUID]);
  }
});

test('a line that cannot be read is an error: a domain that is overlooked could run twice', () => {
  for (const text of ['', 'what?', `${HEAD}\nweb 7 1024 2 r----- 1.0\n`, `${HEAD}\n${line('web', '?b----')}\n`]) {
    assert.throws(() => readList(text), { code: 'HYPERVISOR_FAULT' }, text);
  }
});

test('configurations are read, and their passwords are not kept', () => {
  const config = { c_info: { name: 'web', uuid: UUID }, b_info: { max_memkb: 1 }, vnc: { passwd: 'secret' } };
  const read = readConfigs(
    JSON.stringify([
      { domid: 0, config: { c_info: {} } },
      { domid: 7, config },
    ]),
  );
  assert.equal(read.get(7)?.config.c_info.name, 'web');
  assert.doesNotMatch(read.get(7)?.text ?? '', /secret/);
  assert.throws(() => readConfigs('(domain (domid 7))'), { code: 'HYPERVISOR_FAULT' });
});

test('xl info, and which release is older: corrections do not count', () => {
  const info =
    'host                   : alpha\nnr_cpus                : 8\ntotal_memory           : 16384\nfree_memory            : 8192\nxen_version            : 4.17.3-pre\nhw_caps                : 1:2\n';
  assert.deepEqual(readInfo(info), {
    ...{ name: 'alpha', version: '4.17.3-pre', cpus: 8, memoryMib: 16_384, freeMib: 8_192, cpuFeatures: '1:2' },
  });
  assert.throws(() => readInfo('host : alpha\n'), { code: 'HYPERVISOR_FAULT' });
  assert.ok(compareVersions('4.17.0', '4.18.1') < 0 && compareVersions('4.20', '4.19.9') > 0);
  assert.equal(compareVersions('4.17.3', '4.17.5'), 0);
});
