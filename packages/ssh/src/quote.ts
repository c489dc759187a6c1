/**
 * Turns an argument vector into the one string that SSH's exec request takes. The server hands it to the user's login
 * shell, so every argument is quoted for a POSIX shell. Pure.
 */
import { SshError } from './errors.ts';

const PLAIN = /^[A-Za-z0-9_\-./:=@%+,]+$/;

/** Quotes one argument; only NUL cannot be expressed. @throws SshError INVALID_ARGUMENT */
export function quoteArgument(argument: string): string {
  if (argument.includes('\0')) throw new SshError('INVALID_ARGUMENT', 'A command argument contains a NUL byte.');
  if (PLAIN.test(argument)) return argument;
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}

/** Quotes a whole command. @throws SshError INVALID_ARGUMENT for an empty vector or a NUL byte */
export function quoteCommand(command: readonly string[]): string {
  const [program] = command;
  if (program === undefined || program === '') throw new SshError('INVALID_ARGUMENT', 'The command is empty.');
  // A first word with `=` would be taken for an assignment, not for a program.
  const first = program.includes('=') ? `'${program.replaceAll("'", `'\\''`)}'` : quoteArgument(program);
  return [first, ...command.slice(1).map(quoteArgument)].join(' ');
}
