/** Definitions that are held and let go: nothing of the VM changes on the way, and none can be started in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDefinition } from '../definition/definition.ts';
import { held, heldFor, letGo } from './definition.ts';

const ID = 'm_00000000-0000-4000-8000-000000000001';
const domain = (os: string, metadata = '') =>
  `<domain type="kvm"><name>web</name>${metadata}<os><type arch="x86_64">hvm</type>${os}</os><devices/></domain>`;
const LABELS = '<metadata><l:labels xmlns:l="urn:lmas:labels:1"><l:label>a</l:label></l:labels></metadata>';

for (const [what, xml] of [
  ['that boots from its disks', domain('<boot dev="hd"/>')],
  ['with metadata of its own', domain('<boot dev="hd"/>', LABELS)],
] as const) {
  test(`a VM ${what} is let go as it was`, () => {
    const kept = held(xml, ID);
    assert.match(kept, /<kernel>\/held-by-lmas\/m_/);
    assert.deepEqual([heldFor(kept), heldFor(xml)], [ID, undefined]);
    assert.equal(letGo(kept), xml);
    assert.equal(letGo(xml), xml);
  });
}

test('a VM that boots from a kernel of its own gets it back', () => {
  const xml = domain('<initrd>/boot/initrd</initrd><kernel>/boot/vmlinuz</kernel>');
  const kept = held(xml, ID);
  assert.doesNotMatch(kept, /<kernel>\/boot\/vmlinuz/);
  assert.equal(letGo(kept), xml);
});

test('nobody else takes a held one for a VM to be moved', () => {
  assert.equal(readDefinition(held(domain(''), ID)).managedBy, 'a relocation of LMAS');
});
