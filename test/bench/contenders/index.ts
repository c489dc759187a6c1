/** Everybody who can compete, in the order of the table. */
import type { Contender } from './contender.ts';
import { directBbr, directCubic } from './direct.ts';
import { haproxy } from './haproxy.ts';
import { lmas, lmasCubic, lmasOnCores, lmasSwapped, lmasWithSubflows } from './lmas.ts';
import { reference } from './reference.ts';
import { ssh } from './ssh.ts';
import { stunnel } from './stunnel.ts';

export const CONTENDERS: readonly Contender[] = [
  lmas,
  ...[1, 2, 4, 8, 16, 32, 64].map(lmasWithSubflows),
  lmasSwapped,
  lmasCubic,
  ...[1, 2].map(lmasOnCores),
  directCubic,
  directBbr,
  ssh,
  stunnel,
  haproxy,
  reference,
];
