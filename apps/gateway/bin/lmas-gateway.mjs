#!/usr/bin/env node
/** Starts the gateway from a checkout. Plain JavaScript, so that an older Node can say what is wrong. */
const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  process.stderr.write(`lmas-gateway: needs Node 24 or later (this is ${process.version}).\n`);
  process.exit(1);
}
await import('../src/main.ts');
