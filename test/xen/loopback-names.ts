/** Names for the loopback addresses of pools: `127-2-3-11.test` leads to 127.2.3.11, in this process alone. */
import dns from 'node:dns';
import promises from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';

const TOP = '.test';

export const nameOf = (address: string): string => `${address.replaceAll('.', '-')}${TOP}`;

const addressOf = (name: string): string =>
  /^127(-\d+){3}\.test$/.test(name) ? name.slice(0, -TOP.length).replaceAll('-', '.') : name;

type Lookup = (name: string, ...rest: readonly unknown[]) => unknown;

/** An address is answered with itself, and nobody is asked for it. */
for (const module of [dns, promises] as unknown as { lookup: Lookup }[]) {
  const { lookup } = module;
  module.lookup = (name, ...rest) => lookup(addressOf(name), ...rest);
}
syncBuiltinESMExports();
