/**
 * xl as the plugin meets it: `node main.ts HOST-DIRECTORY COMMAND…`, called by the host's `xl` (host.ts). It keeps the domains
 * of its host, and really moves bytes when one migrates.
 *
 * Not there: everything that no migration asks for.
 */
import { existsSync } from 'node:fs';
import { type ScriptedDomain, ScriptedHost } from './host.ts';
import { migrate, migrateReceive } from './migrate.ts';

const [directory = '', ...words] = process.argv.slice(2);
/** xl's own options come first. */
const options = words.findIndex((word) => !word.startsWith('-'));
const [command = '', ...rest] = options === -1 ? [] : words.slice(options);
const host = new ScriptedHost(directory);

const domainOf = (text: string | undefined): ScriptedDomain => {
  const domain = host.domains().find(({ domid, name }) => String(domid) === text || name === text);
  if (domain !== undefined) return domain;
  process.stderr.write(`${text} is an invalid domain identifier (rc=-6)\n`);
  process.exit(1);
};

const COMMANDS: Readonly<Record<string, () => number | Promise<number>>> = {
  migrate: () => {
    // `xl migrate -s '' DOMAIN COMMAND`: with an empty -s the host is the whole command.
    const [flag, ssh, domain, rune = ''] = rest;
    if (flag !== '-s' || ssh !== '') throw new Error('the lab has no ssh of its own');
    return migrate(host, domainOf(domain), rune);
  },
  'migrate-receive': () => migrateReceive(host),
  save: async () => {
    const { domid } = domainOf(rest[0]);
    await host.at('saving');
    await host.update(domid, { state: 'suspended' });
    await host.at('saved');
    await host.remove(domid);
    return 0;
  },
  destroy: async () => {
    await host.remove(domainOf(rest[0]).domid);
    return 0;
  },
  rename: async () => ((await host.rename(domainOf(rest[0]).domid, rest[1] ?? '')) ? 0 : 1),
  unpause: async () => {
    const { domid, state } = domainOf(rest[0]);
    if (state === 'paused') await host.update(domid, { state: 'running' });
    return 0;
  },
  resume: async () => {
    const { domid, state } = domainOf(rest[0]);
    if (host.settings.cannotResume || state !== 'suspended') return 1;
    await host.update(domid, { state: 'running' });
    return 0;
  },
};

if (!existsSync(directory)) throw new Error(`no host at ${directory}`);
const run = COMMANDS[command];
if (run === undefined) process.stderr.write(`command not implemented\n`);
process.exit(run === undefined ? 1 : await run());
