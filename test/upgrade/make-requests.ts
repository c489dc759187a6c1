/**
 * `node test/upgrade/make-requests.ts NAME`, then `npm run format`: what the gateway of this build takes, in gateways/requests-NAME.json, for
 * the requests of later builds to be held to. Made once for each release, and never changed after it.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requestSchemas } from './requests.ts';

const [name] = process.argv.slice(2);
assert.ok(name !== undefined, 'Give it a name, such as 0.1.0.');
const file = join(import.meta.dirname, 'gateways', `requests-${name}.json`);
writeFileSync(file, `${JSON.stringify(requestSchemas(), null, 2)}\n`, { flag: 'wx' });
