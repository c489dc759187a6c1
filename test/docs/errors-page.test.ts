import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRORS_PAGE, renderErrorsPage } from './errors-page.ts';

test('docs/errors.md says what the tables in the code say', () => {
  assert.equal(
    readFileSync(ERRORS_PAGE, 'utf8'),
    renderErrorsPage(),
    'write it anew: node_modules/.bin/node test/docs/errors-page.ts',
  );
});
