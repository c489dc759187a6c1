/**
 * Makes sure that the SSH connections of earlier runs of a migration are gone before a later run acts at a host. Hypervisors
 * check no token, and a process that was stopped between its last look at the record and its next call would send that
 * call when it wakes up: its connection has to go while it cannot close it by itself.
 *
 * Each run keeps a shell at the host that waits for the end of the connection. The last word of its command line is the
 * mark, `lmas-run/<migration>/<token>`, so the host's own table of processes is the register: nothing is written, and
 * nothing is left when the connection ends, however it ends. A later run finds the marks of smaller tokens and ends the sshd
 * processes above them; with them goes every forwarded stream, and every command that was still to be sent, as if that run's
 * process had been killed. A run marks itself before it looks, so of two at least one sees the other.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SshLogger } from './connect.ts';
import type { SshConnection } from './connection.ts';
import { SshError } from './errors.ts';

/** One run of one migration, among those that have had it. */
export interface MarkedRun {
  readonly migrationId: string;
  /** Each run has a larger one than all before it, the first one 1. */
  readonly token: number;
}

const MAX_ANSWER_BYTES = 4_096;
const MIGRATION_ID = /^[A-Za-z0-9_-]+$/;

/**
 * Arguments: migration, token, mark. Says `ready`, `superseded`, `stuck` or `unmarked <why>`; after `ready` it stays until
 * its input ends. It must not `exec`: its command line is the mark.
 * An sshd is ended by pid and start time, and only when it runs as the user who logged in (comm and status are readable
 * for everybody; an sshd of a plain user hides the rest). TERM lets it close its PAM session; after a second it is killed.
 */
const SCRIPT = `
me=$(id -u)
look() {
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- \${line##*) }
  state=$1 parent=$2
  shift 19
  started=$1
}
server_of() {
  server=$1
  while look "$server" && server=$parent && [ "$server" -gt 1 ]; do
    { read -r name <"/proc/$server/comm"; } 2>/dev/null || return 1
    case $name in sshd | sshd-session) owned_by_me "$server" && look "$server" && return 0 || return 1 ;; esac
  done
  return 1
}
owned_by_me() {
  while read -r key real rest; do
    [ "$key" = Uid: ] && { [ "$real" = "$me" ]; return; }
  done <"/proc/$1/status"
  return 1
}
lives() { look "\${1%/*}" && [ "$started" = "\${1#*/}" ] && [ "$state" != Z ] && [ "$state" != X ]; }

server_of $$ || { echo unmarked: its own sshd is not to be seen in /proc; exit; }
own=$server
marks=$(grep -lszx "lmas-run/$1/[0-9]*" /proc/[0-9]*/cmdline)
case " $(echo $marks) " in *" /proc/$$/cmdline "*) ;; *) echo unmarked: grep -z does not find it; exit ;; esac
old=
for file in $marks; do
  pid=\${file#/proc/} pid=\${pid%/cmdline}
  [ -O "/proc/$pid" ] || continue
  theirs=$(grep -szxo "lmas-run/$1/[0-9]*" "$file" | tr -d '\\0')
  theirs=\${theirs##*/}
  [ -n "$theirs" ] || continue
  [ "$theirs" -gt "$2" ] && { echo superseded; exit; }
  [ "$theirs" -lt "$2" ] && server_of "$pid" && [ "$server" != "$own" ] && old="$old $server/$started"
done
rounds=0 signal=TERM
while [ -n "$old" ]; do
  left=
  for one in $old; do
    lives "$one" || continue
    left="$left $one"
    kill -s "$signal" "\${one%/*}" 2>/dev/null
  done
  old=$left
  [ -n "$old" ] || break
  rounds=$((rounds + 1))
  [ "$rounds" -lt 10 ] || signal=KILL
  [ "$rounds" -lt 100 ] || { echo stuck; exit; }
  sleep 0.1 2>/dev/null || sleep 1
done
echo ready
while read -r _; do :; done
exit 0`;

interface Options {
  readonly signal: AbortSignal;
  readonly log: SshLogger;
  /**
   * For how long a run that cannot be marked waits, if there may have been earlier ones: until what they have open at the
   * host has ended without us, as far as anything there ends it.
   */
  readonly unmarkedWaitMs: number;
}

/**
 * Resolves when no connection of an earlier run can act at this host any more, and marks `ssh` as this run's. Call it before
 * anything else is done over `ssh`. A connection that loses its mark is closed: nobody could end it.
 * @throws SshError INVALID_ARGUMENT, SUPERSEDED when a later run is here, TIMEOUT when an old connection does not go,
 * ABORTED, CONNECTION_LOST
 */
export async function takeOver(ssh: SshConnection, run: MarkedRun, options: Options): Promise<void> {
  const { signal, log, unmarkedWaitMs } = options;
  const { migrationId, token } = run;
  if (!MIGRATION_ID.test(migrationId)) throw new SshError('INVALID_ARGUMENT', `Not a migration's id: ${migrationId}`);
  const arguments_ = [migrationId, String(token), `lmas-run/${migrationId}/${token}`];
  const shell = await ssh.start(['sh', '-c', SCRIPT, 'sh', ...arguments_], { signal });
  const answer = await firstLine(shell, AbortSignal.any([signal, ssh.closed]));
  if (answer === 'ready') {
    const leave = (): void => void ssh.close();
    shell.resume().on('close', leave).on('error', leave);
    return;
  }
  shell.on('error', () => undefined).destroy(); // what it had to say has been read
  assertWanted(ssh, signal);
  if (answer === 'superseded') {
    throw new SshError('SUPERSEDED', `A later run of ${migrationId} is connected to ${ssh.peer}.`);
  }
  if (answer === 'stuck') {
    const above = `on the host, end the sshd process above the one that \`pgrep -f lmas-run/${migrationId}/\` shows`;
    throw new SshError(
      'TIMEOUT',
      `The connection of an earlier run of ${migrationId} to ${ssh.peer} does not end: ${above}.`,
    );
  }
  log.warn({ peer: ssh.peer, answer }, 'this run cannot be marked at the host: a later one will have to wait');
  // An earlier one may have had no mark either.
  if (token === 1) return;
  await sleep(unmarkedWaitMs, undefined, { signal: AbortSignal.any([signal, ssh.closed]) }).catch(() => undefined);
  assertWanted(ssh, signal);
}

function assertWanted(ssh: SshConnection, signal: AbortSignal): void {
  ssh.closed.throwIfAborted();
  if (signal.aborted) throw new SshError('ABORTED', `Given up connecting to ${ssh.peer}.`, signal.reason);
}

/** What it says first; all there is when it ends without a newline. Resolves early when `signal` aborts. */
function firstLine(stream: Duplex, signal: AbortSignal): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let said = '';
  const done = (): void => {
    stream.off('data', onData);
    resolve((said.split('\n')[0] ?? '').trim());
  };
  const onData = (chunk: Buffer): void => {
    said += chunk.toString('latin1');
    if (said.includes('\n') || said.length > MAX_ANSWER_BYTES) done();
  };
  stream.on('data', onData);
  for (const event of ['end', 'close', 'error']) stream.once(event, done);
  if (signal.aborted) done();
  else signal.addEventListener('abort', done, { once: true });
  return promise;
}
