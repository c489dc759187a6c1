import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { quoteArgument, quoteCommand } from './quote.ts';

test('a shell gives every argument back as it was', () => {
  const hard = ['', ' ', "it's", '$(id)', '`id`', '"', '\\', 'a\nb', '*', '~', '-n', "'''", '; rm -rf /', 'é', '!x'];
  const line = quoteCommand(['printf', '%s\\0', ...hard]);
  const seen = execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' }).split('\0').slice(0, -1);
  assert.deepEqual(seen, hard);
});

test('plain words stay readable', () => {
  assert.equal(
    quoteCommand(['qemu-img', 'create', '-f', 'raw', '/a/b.img', '10G']),
    'qemu-img create -f raw /a/b.img 10G',
  );
});

test('a first word is always a program, never an assignment', () => {
  assert.equal(quoteCommand(['A=b', 'C=d']), "'A=b' C=d");
});

test('what cannot be expressed is refused', () => {
  assert.throws(() => quoteArgument('a\0b'), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => quoteCommand([]), { code: 'INVALID_ARGUMENT' });
});
