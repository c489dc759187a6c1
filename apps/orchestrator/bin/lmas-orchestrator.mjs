#!/usr/bin/env node
/** The `lmas-orchestrator` command. Plain JavaScript that Node 18 can read; see tools/launch.mjs. */
import { launch } from '../../../tools/launch.mjs';

await launch('lmas-orchestrator', import.meta.url, async () => {
  const { main } = await import('../src/main.ts');
  await main();
});
