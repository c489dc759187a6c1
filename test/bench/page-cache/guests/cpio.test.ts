import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpioArchive } from './cpio.ts';

test('an archive as the kernel reads it: directories first, four-byte borders, a trailer', () => {
  const content = Buffer.from('hello');
  const archive = cpioArchive([{ path: 'a/b/file', content, mode: 0o755 }], ['empty']);
  const entries: [name: string, mode: string, content: string][] = [];
  for (let at = 0; at < archive.length; ) {
    const field = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const body = at + ((110 + nameSize + 3) & ~3);
    const name = archive.toString('latin1', at + 110, at + 110 + nameSize - 1);
    entries.push([name, mode.toString(8), archive.toString('latin1', body, body + size)]);
    at = body + ((size + 3) & ~3);
  }
  assert.deepEqual(entries, [
    ['a', '40755', ''],
    ['a/b', '40755', ''],
    ['empty', '40755', ''],
    ['a/b/file', '100755', 'hello'],
    ['TRAILER!!!', '0', ''],
  ]);
});
