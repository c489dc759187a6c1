/**
 * `npm run lab -- …`: the lab by hand. Every command is a thin layer over src/index.ts; each tells people what it did,
 * and scripts with --json.
 */
import { writeFileSync } from 'node:fs';
import { CommandLine } from './cli/command-line.ts';
import { down, shell, status, up } from './cli/site-commands.ts';
import { vm } from './cli/vm-commands.ts';
import { wan } from './cli/wan-commands.ts';
import { LabError } from './src/errors.ts';
import { checkName, DEFAULT_NAME, MACHINES } from './src/names.ts';

const HELP = `Usage: npm run lab -- COMMAND [options]

Two sites on this machine: at each a libvirt host and a machine for a gateway, joined by a WAN. Needs root.

  up [--rate MBIT] [--rtt MS] [--loss PERCENT] [--queue MS] [--jitter MS]
                            bring it up (default 1000 Mbit/s, 100 ms, no loss), or set the line of one that is up;
                            a rate of 0 is as fast as the machine goes
  down                      take everything down; exit code 1 if something was left, and says what
  status                    machines, addresses, keys, line, VMs; exit code 1 if the lab is down
  shell MACHINE [CMD…]      a shell, or a command, in ${MACHINES.join(', ')}; options of the lab come first
  vm define NAME [--site a|b] [--memory MIB] [--fill MIB] [--working-set MIB] [--dirty PAGES_PER_SEC] [--zero PCT]
         [--compressible PCT] [--disk local|shared[:raw|qcow2[:MIB]]]… [--sectors PER_SEC] [--network lab|site|none]
  vm start NAME [--site a|b]     start it and wait for its guest
  vm list | vm status NAME | vm destroy NAME | vm remove NAME
  vm verify NAME            every page and sector, checked by the guest; exit code 1 if one is bad
  vm nonce NAME [HEX]       put a nonce into the guest's memory
  vm rate NAME PAGES_PER_SEC     change how fast it writes
  wan set [--rate …] [--rtt …] [--loss …] [--queue …] [--jitter …]
  wan stats                 packets, bytes and drops in each direction
  wan outage MS|on|off [--direction ab|ba|both]
  wan check [--seconds N]   measure round trip and the rate of one TCP stream (BBR) against theory

  --name NAME   which lab (default ${DEFAULT_NAME}); several may be up at once
  --json FILE   write the answer as JSON, too; "-" prints it instead of the text
  --yes         install what is missing without asking
  --help        show this

Exit code: 0 done; 1 not so; 2 wrong usage; 3 something has to be installed by hand first.`;

const COMMANDS: Readonly<Record<string, (line: CommandLine) => Promise<void>>> = { up, down, status, shell, vm, wan };

/** How many words each takes, its own among them. */
const MOST_WORDS: Readonly<Record<string, number>> = {
  ...{ up: 1, down: 1, status: 1, shell: 2, vm: 3, wan: 2 },
  ...{ 'vm list': 2, 'vm nonce': 4, 'vm rate': 4, 'wan outage': 3 },
};

async function main(line: CommandLine): Promise<void> {
  if (line.values.help) {
    console.log(HELP);
    return;
  }
  checkName(line.values.name);
  const [name, verb] = line.words;
  const surplus = line.words[MOST_WORDS[`${name} ${verb}`] ?? MOST_WORDS[name ?? ''] ?? line.words.length];
  if (surplus !== undefined)
    throw new LabError('LAB_ARGUMENT', `"${surplus}" is a word too many; another lab is named with --name`);
  const command = COMMANDS[name ?? ''];
  if (command) {
    await command(line);
    return;
  }
  console.error(name === undefined ? HELP : `There is no command "${name}"; see --help`);
  process.exitCode = 2;
}

const WRONG_USAGE: ReadonlySet<string> = new Set(['LAB_ARGUMENT', 'LAB_NAME_INVALID']);

function tell(error: LabError, jsonFile: string | undefined): void {
  console.error(`${error.code}: ${error.message}`);
  const json = `${JSON.stringify({ error: { code: error.code, message: error.message } }, null, 2)}\n`;
  if (jsonFile === '-') process.stdout.write(json);
  else if (jsonFile !== undefined) {
    try {
      writeFileSync(jsonFile, json);
    } catch {
      console.error(`--json ${jsonFile} cannot be written`);
    }
  }
  process.exitCode = WRONG_USAGE.has(error.code) ? 2 : 1;
}

let line: CommandLine | undefined;
try {
  line = new CommandLine(process.argv.slice(2));
  await main(line);
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  tell(error, line?.values.json);
}
