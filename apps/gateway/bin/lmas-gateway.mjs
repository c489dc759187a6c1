#!/usr/bin/env node
/** The `lmas-gateway` command, from a checkout. Plain JavaScript that Node 18 can read; see tools/launch.mjs. */
import { launch } from '../../../tools/launch.mjs';

await launch('lmas-gateway', import.meta.url, () => import('../src/main.ts'));
