/** `lmas credential`: logins for gateway machines and hypervisors. Secrets come from a file, standard input or a prompt. */
import type { Credential, CredentialInput } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { askSecret, readInput, readSecret } from '../secrets.ts';
import { widthOf } from '../terminal.ts';

const COLUMNS: readonly Column<Credential>[] = [
  { title: 'CREDENTIAL', value: ({ id }) => id },
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'USER', value: ({ username }) => username, minWidth: 6 },
  { title: 'KEY', value: ({ publicKey }) => publicKey?.fingerprint ?? '', dropOrder: 2 },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 1 },
];

interface CredentialAddFlags {
  readonly username: string;
  readonly privateKeyFile?: string;
  readonly passphraseFile?: string;
  readonly passphrasePrompt?: boolean;
  readonly passwordFile?: string;
}

export function addCredential(registry: Registry): void {
  const credential = registry.program
    .command('credential')
    .summary('logins for gateway machines and hypervisors')
    .description('Logins for gateway machines and hypervisors. Secrets go in and never come out again.');
  addAdd(registry, credential.command('add'));
  leaf(registry, credential.command('list').description('Lists the credentials, without their secrets.'), {
    examples: ['lmas credential list'],
    action: async (invocation) => {
      const credentials = await (await invocation.client()).listCredentials({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items: credentials });
      else invocation.printTable(COLUMNS, credentials, 'No credentials. Add one with lmas credential add.');
      return EXIT.ok;
    },
  });
  const get = credential
    .command('get')
    .description('Shows one credential, without its secret; of an SSH key its public half.')
    .argument('<id>', 'name of the credential');
  leaf(registry, get, {
    examples: ['lmas credential get ops'],
    action: async (invocation) => {
      const { args, flags, signal, terminal } = invocation;
      const shown = await (await invocation.client()).getCredential(args[0] ?? '', { signal });
      const fields = [
        ['Credential', shown.id],
        ['Kind', shown.kind],
        ['User', shown.username],
        ['Public key', shown.publicKey === null ? '' : `${shown.publicKey.type} ${shown.publicKey.fingerprint}`],
        ['Created', formatTime(shown.createdAt)],
      ] as const;
      if (flags.json === true) invocation.printJson(shown);
      else invocation.print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
      return EXIT.ok;
    },
  });
  const remove = credential
    .command('remove')
    .description('Removes a credential that no site and no endpoint uses.')
    .argument('<id>', 'name of the credential');
  leaf(registry, remove, {
    examples: ['lmas credential remove ops'],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      await (await invocation.client()).deleteCredential(id, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ removed: id });
      else invocation.print(`Credential ${id} removed.`);
      return EXIT.ok;
    },
  });
}

function addAdd(registry: Registry, command: Registry['program']): void {
  command
    .summary('Stores a login.')
    .description(
      'Stores a login: an SSH key with --private-key-file, else a password, from --password-file or asked for. No flag takes a secret itself: every user of this machine can read command lines. "-" as a file is standard input.',
    )
    .argument('<id>', 'its name: lower-case letters, digits, hyphens')
    .requiredOption('--username <name>', 'user to log in as (required)')
    .option('--private-key-file <file>', 'an SSH private key')
    .addOption(new Option('--passphrase-file <file>', 'what unlocks the private key').conflicts('passphrasePrompt'))
    .option('--passphrase-prompt', 'ask for what unlocks the private key')
    .addOption(
      new Option('--password-file <file>', 'a password, on the first line').conflicts([
        'privateKeyFile',
        'passphraseFile',
        'passphrasePrompt',
      ]),
    );
  leaf<CredentialAddFlags>(registry, command, {
    examples: [
      'lmas credential add ops --username root --private-key-file ~/.ssh/id_ed25519',
      'lmas credential add ops --username root --private-key-file key --passphrase-prompt',
      'lmas credential add vcenter --username svc-lmas            # asks for the password',
      'pass show vcenter | lmas credential add vcenter --username svc-lmas --password-file -',
    ],
    action: async (invocation) => {
      const input = await credentialInput(invocation);
      const stored = await (await invocation.client()).createCredential(input, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(stored);
      else invocation.print(`Credential ${stored.id} stored: ${stored.kind} of ${stored.username}.`);
      return EXIT.ok;
    },
  });
}

async function credentialInput({ args, flags, terminal }: Invocation<CredentialAddFlags>): Promise<CredentialInput> {
  const id = args[0] ?? '';
  const { username, privateKeyFile, passphraseFile, passphrasePrompt, passwordFile } = flags;
  if (privateKeyFile === undefined) {
    if (passphraseFile !== undefined || passphrasePrompt === true) {
      throw new CliError('INVALID_VALUE', 'A passphrase needs the key that it unlocks.', {
        remedy: 'Add --private-key-file FILE.',
      });
    }
    const password =
      passwordFile === undefined
        ? await askSecret(`Password of ${username}`, terminal)
        : await readSecret(passwordFile, terminal);
    return { id, kind: 'password', username, password };
  }
  if (privateKeyFile === '-' && passphraseFile === '-') {
    throw new CliError('INVALID_VALUE', 'Key and passphrase cannot both come from standard input.');
  }
  const privateKey = await readInput(privateKeyFile, terminal);
  checkPrivateKey(privateKey, privateKeyFile);
  const passphrase =
    passphraseFile !== undefined
      ? await readSecret(passphraseFile, terminal)
      : passphrasePrompt === true
        ? await askSecret('Passphrase of the key', terminal)
        : undefined;
  return { id, kind: 'ssh-key', username, privateKey, ...(passphrase === undefined ? {} : { passphrase }) };
}

/** Catches the two usual slips before the key travels: the public half, and a file that is no key at all. */
function checkPrivateKey(text: string, file: string): void {
  if (/^(?:ssh-|ecdsa-|sk-)/.test(text)) {
    throw new CliError('INPUT_UNREADABLE', `${file} is a public key.`, {
      remedy: 'Give the private one: the same name without .pub.',
    });
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new CliError('INPUT_UNREADABLE', `${file} holds no private key in OpenSSH or PEM form.`);
  }
}
