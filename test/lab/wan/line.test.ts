// The C tests of the line's model (line-test.c), compiled with the address and undefined-behaviour sanitizers.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { build } from '../src/build.ts';
import { run } from '../src/command.ts';

const skip = existsSync('/usr/bin/gcc') ? false : 'SKIPPED: no gcc';

test('the line: rate, queue, loss, outage, and super-packets cut where one is lost', { skip }, async () => {
  const { code, stdout, stderr } = await run(await build('lab-wan-test'), [], { allowFailure: true });
  assert.equal(stdout + stderr, 'ok\n');
  assert.equal(code, 0);
});
