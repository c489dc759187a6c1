/**
 * Every name of what a drill makes, derived from its record alone: whoever has the record finds it again, with no memory of
 * before. Pure.
 *
 * The tag is 128 bits of a hash of the record's id. It is no secret: what keeps strangers out is the key (receiver.ts).
 */
import { createHash } from 'node:crypto';

/** libvirt names log files, and QEMU directories, after the domain; file systems take 255 bytes. */
const MAX_NAME_BYTES = 180;

export interface DrillNames {
  readonly tag: string;
  /** Of the copy. */
  readonly uuid: string;
  readonly name: string;
  /** Where each host keeps the key while the disks cross, and the destination the pids of what listens. */
  readonly keyDirectory: { readonly source: string; readonly destination: string };
  /** @param index of the NIC, from 0 */
  mac(index: number): string;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Cut at a character, so that it stays UTF-8. */
function shortened(name: string): string {
  let short = name;
  while (Buffer.byteLength(short) > MAX_NAME_BYTES) short = [...short].slice(0, -1).join('');
  return short;
}

export function drillNames(migrationId: string, vmName: string): DrillNames {
  const tag = digest(`lmas drill ${migrationId}`).toString('hex').slice(0, 32);
  return {
    tag,
    uuid: uuidOf(digest(`lmas drill uuid ${migrationId}`)),
    name: `${shortened(vmName)}${suffixOf(tag)}`,
    keyDirectory: { source: `/tmp/lmas-drill-${tag}-s`, destination: `/tmp/lmas-drill-${tag}-d` },
    mac: (index) => macOf(digest(`lmas drill mac ${migrationId} ${index}`)),
  };
}

/** RFC 9562, version 8: made by a scheme of one's own. */
function uuidOf(hash: Buffer): string {
  const bytes = Buffer.from(hash.subarray(0, 16));
  bytes.writeUInt8(((bytes.at(6) ?? 0) & 0x0f) | 0x80, 6);
  bytes.writeUInt8(((bytes.at(8) ?? 0) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** 52:54:00 is what QEMU and libvirt give to guests. */
const macOf = (hash: Buffer): string => `52:54:00:${[0, 1, 2].map((at) => hash.toString('hex', at, at + 1)).join(':')}`;

const suffixOf = (tag: string): string => `-drill-${tag.slice(0, 8)}`;

/** What an own copy of a file is called beside others: one file for each use. */
export const fileName = ({ name }: DrillNames, use: string, suffix: string): string => `${name}-${use}.${suffix}`;

/** Whether the file's name is one that this drill gave, whatever the VM is called by now. */
export const isOwnFile = ({ tag }: DrillNames, path: string): boolean =>
  path.slice(path.lastIndexOf('/') + 1).includes(`${suffixOf(tag)}-`);
