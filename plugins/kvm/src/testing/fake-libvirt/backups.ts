/**
 * Backups in pull mode at a scripted daemon: what the guest's one disk holds at that moment is served by a real qemu-nbd, until the
 * job is aborted. The scratch file is that moment, which is not how QEMU keeps it, but looks the same from outside.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { readDefinition } from '../../definition/definition.ts';
import { attribute, childElements, descend, parseXml } from '../../definition/xml.ts';
import { ERROR } from '../../rpc/constants.ts';
import type { Guest } from './guest.ts';
import { Refusal } from './refusal.ts';

export interface Backup {
  readonly xml: string;
  readonly scratch: string;
  readonly pidFile: string;
}

export function beginBackup(guest: Guest, xml: string, definition: string): Backup {
  if (guest.job !== null || guest.foreignJob !== null || guest.backup !== null) {
    throw new Refusal(ERROR.OPERATION_TIMEOUT, 'cannot acquire state change lock');
  }
  const { root } = parseXml(xml, 'domainbackup');
  const disks = childElements(descend(root, 'disks') ?? root, 'disk').filter(
    (disk) => attribute(disk, 'backup') === 'yes',
  );
  const scratch = attribute(descend(disks[0] ?? root, 'scratch'), 'file');
  const socket = attribute(descend(root, 'server'), 'socket');
  const name = attribute(disks[0], 'exportname');
  const image = readDefinition(definition).disks.find((disk) => disk.name === name)?.location;
  if (
    disks.length !== 1 ||
    scratch === undefined ||
    socket === undefined ||
    name === undefined ||
    image === undefined
  ) {
    throw new Refusal(ERROR.INVALID_ARG, 'the fake backs one disk up');
  }
  if (existsSync(scratch)) throw new Refusal(ERROR.INVALID_ARG, 'store for backup exists');
  copyFileSync(image, scratch);
  const pidFile = `${socket}.pid`;
  const where = ['--fork', '--persistent', '--shared=4', `--socket=${socket}`, `--pid-file=${pidFile}`];
  execFileSync('qemu-nbd', [...where, '--read-only', '--format=raw', `--export-name=${name}`, scratch]);
  return { xml, scratch, pidFile };
}

export function endBackup({ scratch, pidFile }: Backup): void {
  // Again and again: while it starts, qemu-nbd takes no notice of being told to end.
  execFileSync('sh', ['-c', 'pid=$(cat "$1"); while kill "$pid" 2>/dev/null; do sleep 0.05; done', 'sh', pidFile]);
  for (const file of [scratch, pidFile]) rmSync(file, { force: true });
}
