/** What root does before a gateway by hand is started: in a directory that somebody else may have had, it follows no link. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const UNIT = path.join(import.meta.dirname, '../../deploy/debian/files/units/lmas-gateway@.service');
const NOBODY = { user: 65_534, group: 65_534 };
const skip = process.getuid?.() === 0 ? false : 'Needs root.';

/** The lines that are run as root, on that directory, for the user nobody. */
function prepare(directory: string): void {
  const lines = [...readFileSync(UNIT, 'utf8').matchAll(/^ExecStartPre=\+(.+)$/gm)].map(([, line = '']) => line);
  assert.ok(lines.length > 0);
  for (const line of lines) {
    const here = line.replaceAll('/etc/lmas/gateways/%i', directory).replaceAll('lmas-gateway', String(NOBODY.user));
    const [program = '', ...args] = here.split(' ');
    execFileSync(program, args);
  }
}

const ownersOf = (file: string) => {
  const { uid, gid, mode } = lstatSync(file);
  return { uid, gid, mode: mode & 0o777 };
};

test('the key is the gateway’s, its directory root’s, and a link leads nowhere', { skip }, () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'by-hand-'));
  try {
    const directory = path.join(scratch, 'near');
    mkdirSync(directory, { mode: 0o700 });
    const key = path.join(directory, 'key.pem');
    writeFileSync(key, 'k', { mode: 0o600 });
    prepare(directory);
    assert.deepEqual(ownersOf(directory), { uid: 0, gid: NOBODY.group, mode: 0o750 });
    assert.deepEqual(ownersOf(key), { uid: NOBODY.user, gid: NOBODY.group, mode: 0o600 });

    // As an earlier version left it, and with a link in the place of the key.
    chownSync(directory, NOBODY.user, NOBODY.group);
    chmodSync(directory, 0o755);
    const others = path.join(scratch, 'shadow');
    writeFileSync(others, 's', { mode: 0o600 });
    rmSync(key);
    symlinkSync(others, key);
    prepare(directory);
    assert.deepEqual(ownersOf(directory), { uid: 0, gid: NOBODY.group, mode: 0o750 });
    assert.deepEqual(ownersOf(others), { uid: 0, gid: 0, mode: 0o600 });
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
