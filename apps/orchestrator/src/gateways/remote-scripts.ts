/**
 * What is done at a gateway machine, as POSIX shell scripts that need nothing but coreutils, util-linux, tar, gzip and procfs. They
 * are constants: everything variable comes as an argument, nothing secret is among them. A process is known by its pid
 * together with its start time (field 22 of /proc/<pid>/stat, proc(5)), because a pid is given away again.
 *
 * What is done to a gateway is fenced by a file beside its directory, which holds the largest token that has come for it: whoever
 * comes with a smaller one is turned away. It is locked while something is done, and goes with the directory.
 */

/** Exit code of who came with a smaller token than somebody before, and has done nothing. */
export const SUPERSEDED_CODE = 83;
/** In the place of a token: acts for no run, passes every fence and raises none. */
export const NO_RUN = 'none';

const FUNCTIONS = `
set -eu
umask 077
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
# alive DIR: the process that the pid file names still runs
alive() {
  [ -f "$1/pid" ] || return 1
  read -r pid since < "$1/pid" || return 1
  [ -n "$pid" ] && [ -n "$since" ] && [ "$(start_time "$pid")" = "$since" ]
}
# remove DIR: takes it from whoever starts something there, ends its process, politely first, then removes the directory
remove() {
  rm -f -- "$1/starter"
  if alive "$1"; then
    kill -TERM "$pid" 2>/dev/null || true
    tries=0
    while alive "$1" && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; sleep 0.1; fi
  fi
  rm -rf -- "$1"
}
# hold FENCE TOKEN: until descriptor 9 is closed nobody else does anything to this gateway; a smaller token than the largest is turned
# away. Who had the lock may have taken the file away: then it is another one.
hold() {
  while :; do
    exec 9<>"$1"
    flock -w 60 9 || { echo 'what somebody else does to this gateway has no end' >&2; exit 1; }
    if [ "$(stat -Lc %i /proc/self/fd/9)" = "$(stat -c %i -- "$1" 2>/dev/null)" ]; then break; fi
  done
  [ "$2" != ${NO_RUN} ] || return 0
  largest=$(cat -- "$1")
  if [ "$2" -lt "\${largest:-0}" ]; then echo "token $2 is smaller than $largest" >&2; exit ${SUPERSEDED_CODE}; fi
}
# raise FENCE TOKEN: with the lock; from then on no smaller one. It is written over, not anew: a full disk forgets none
raise() { [ "$2" = ${NO_RUN} ] || echo "$2" 1<>"$1"; }
# Tables of barriers, anybody's: lmas_barrier_<name>.<route> (apps/gateway, proxy/transparent/barrier.ts). Without nft there are none.
PATH=$PATH:/usr/sbin:/sbin
barriers() {
  command -v nft >/dev/null || return 0
  tables=$(nft list tables inet) || return 1
  echo "$tables" | sed -n 's/^table inet \\(lmas_barrier_[a-z0-9_-]*\\.[a-z0-9-]*\\)$/\\1/p'
}
# tidy FENCE DIR: the last thing that is done with the lock; a fence with nothing behind it goes, a barrier of its name neither
tidy() {
  [ ! -e "$2" ] || return 0
  case "$(barriers 2>/dev/null)" in *"lmas_barrier_\${1##*/}".*) ;; *) rm -f -- "$1" ;; esac
}
`;

/** For who takes something away, or over. */
const HEEDING = `${FUNCTIONS}
# heed FENCE TOKEN: holds and raises it; a disk without room for a fence is no reason to leave something there
heed() {
  ( : <>"$1" ) 2>/dev/null || return 0
  hold "$1" "$2"
  raise "$1" "$2" 2>/dev/null || true
}
`;

/** Arguments: base directory. Prints its absolute path, made private to its owner. */
export const MAKE_BASE = `${FUNCTIONS}
mkdir -p -- "$1/bundles" "$1/gateways" "$1/fences"
chmod 700 -- "$1" "$1/bundles" "$1/gateways" "$1/fences"
cd -- "$1" && pwd -P
`;

/** Arguments: directory of the unpacked bundle. Standard input: the manifest. Exit code 1: not there, or not the same. */
export const VERIFY_BUNDLE = `${FUNCTIONS}
[ -d "$1" ] || exit 1
cd -- "$1"
sha256sum --check --strict --status -
`;

/**
 * Arguments: archive, its SHA-256, directory to become. Standard input: the manifest. Unpacks beside it and renames, so that
 * nobody sees half; whatever goes wrong, archive and half are gone. Of two that do so at once (two sites with one machine, two orchestrators) the second one finds the
 * first one's good and leaves it: a gateway may run from it already.
 */
export const UNPACK_BUNDLE = `${FUNCTIONS}
manifest=$(cat)
fresh="$3.$$"
trap 'rm -rf -- "$fresh" "$1"' EXIT
trap 'exit 1' HUP INT TERM
echo "$2  $1" | sha256sum --check --strict --status - || { echo 'the upload was damaged' >&2; exit 1; }
rm -rf -- "$fresh"
mkdir -- "$fresh"
tar -xzf "$1" -C "$fresh" --no-same-owner
rm -f -- "$1"
exec 9>"$3.lock"
flock 9
if ! (cd -- "$3" 2>/dev/null && printf '%s\\n' "$manifest" | sha256sum --check --strict --status -); then
  rm -rf -- "$3"
  mv -T -- "$fresh" "$3"
fi
`;

/**
 * Arguments: run directory, fence, token, program, lease in ms. Starts the gateway detached, after removing whatever an earlier attempt
 * left in that directory. It leaves no core dump: keys are in its memory. The pid file is written by the process itself before it becomes
 * the gateway, so that there is no instant at which it runs and nobody could find it. A busy machine may take long to start it: as long as it lives it is
 * waited for, a minute at most; the caller's own limit comes first. Who called may be gone by then, and another start or a
 * removal be under way: the directory names its starter, and whoever finds another one there, or none, ends and touches nothing.
 * The process looks for it once more after its pid is there: a removal takes the starter's name away first and looks for a pid then, so
 * that one of the two sees the other. Only who has made the directory `claim` writes a pid, so that none is overwritten.
 */
export const START_GATEWAY = `${FUNCTIONS}
hold "$2" "$3"
raise "$2" "$3" || { tidy "$2" "$1"; echo 'its fence cannot be written: is the disk full?' >&2; exit 1; }
remove "$1"
mkdir -p -- "$1"
starter="$$ $(start_time $$)"
echo "$starter" > "$1/starter"
exec 9>&-
is_mine() { [ "$(cat -- "$1/starter" 2>/dev/null)" = "$starter" ]; }
setsid nohup sh -c '
  umask 077
  ulimit -c 0 2>/dev/null
  is_mine() { [ "$(cat -- "$1/starter" 2>/dev/null)" = "$2" ]; }
  own="$1/pid.$$"
  is_mine "$1" "$4" && echo "$$ $(sed "s/.*) //" /proc/$$/stat | cut -d" " -f20)" > "$own" || exit 1
  until mkdir -- "$1/claim" 2>/dev/null; do
    is_mine "$1" "$4" || { rm -f -- "$own"; exit 1; }
    sleep 0.1
  done
  mv -- "$own" "$1/pid" && is_mine "$1" "$4" || { rm -rf -- "$1/pid" "$own" "$1/claim"; exit 1; }
  exec "$2" run --control "$1/control.sock" --lease-ms "$3" --log-file "$1/gateway.log"
' sh "$1" "$4" "$5" "$starter" </dev/null >"$1/output" 2>&1 &
tries=0
while [ ! -S "$1/control.sock" ] && [ "$tries" -lt 600 ] && is_mine "$1"; do
  tries=$((tries + 1))
  sleep 0.1
  if [ -f "$1/pid" ] && ! alive "$1"; then break; fi
done
came_after() { echo 'another start or a removal came after this one' >&2; exit 1; }
is_mine "$1" || came_after
[ -S "$1/control.sock" ] && exit 0
tail -c 500 -- "$1/output" "$1/gateway.log" >&2 2>/dev/null || true
hold "$2" "$3"
is_mine "$1" || { tidy "$2" "$1"; came_after; }
remove "$1"
tidy "$2" "$1"
exit 1
`;

/**
 * Arguments: directory of the unpacked bundle, its root. Standard input: the manifest. Prints what a gateway needs of a machine,
 * a fact a line, then `report` and what the program there says of it: ours, or none. One that is not as we would upload it is
 * "changed", and not run. Changes nothing.
 */
export const EXAMINE_MACHINE = `${FUNCTIONS}
echo "system $(uname -s)"
echo "architecture $(uname -m)"
echo "kernel $(uname -r)"
for tool in sha256sum tar gzip flock setsid nohup; do command -v "$tool" >/dev/null || echo "lacks $tool"; done
echo "free $(df -Pk . | sed -n '2s/.* \\([0-9]*\\)  *[0-9]*%.*/\\1/p')"
[ -d "$1" ] || exit 0
command -v sha256sum >/dev/null || exit 0
if ! (cd -- "$1" && sha256sum --check --strict --status -); then echo "changed $1"; exit 0; fi
echo report
"$1/$2/bin/lmas-gateway" doctor --json 2>&1 </dev/null || true
`;

/** Arguments: run directory, fence, token. From then on it is this run's. Exit code 1: nobody there. */
export const TAKE_GATEWAY = `${HEEDING}
heed "$2" "$3"
if ! alive "$1"; then tidy "$2" "$1"; exit 1; fi
`;

/** Arguments: run directory, fence, token. The last one out takes the directory of the installation with it. */
export const REMOVE_GATEWAY = `${HEEDING}
heed "$2" "$3"
remove "$1"
tidy "$2" "$1"
rmdir -- "\${1%/*}" 2>/dev/null || true
`;

/** Arguments: directory of the run directories, what all of their fences begin with. Prints whose there are, by name, one a line. */
export const LIST_GATEWAYS = `${FUNCTIONS}
{
  [ ! -d "$1" ] || ls -1 -- "$1"
  for fence in "$2"*; do [ ! -e "$fence" ] || echo "\${fence#"$2"}"; done
} | sort -u
`;

/**
 * No arguments. Takes away the packet rules and routes that killed gateways left, anybody's, and prints their tables. They are named after
 * pid namespace, pid and start time of their owner, mark and routing table after its pid (apps/gateway, proxy/transparent/owner.ts).
 *
 * A gateway makes its table before its rule: so rules are looked at before tables, and whose rule was seen and whose table is
 * missing is gone for good. Without a list of tables nothing is touched.
 */
export const CLEAN_INTERCEPTIONS = `${FUNCTIONS}
PATH=$PATH:/usr/sbin:/sbin
command -v nft >/dev/null || exit 0
space=$(readlink /proc/self/ns/pid | tr -cd 0-9)
rules=$(for family in -4 -6; do
  ip "$family" rule list 2>/dev/null | sed -n "s/.* fwmark \\(0x4c[0-9a-f]*\\) lookup.*/$family \\1/p"
done)
tables=$(nft list tables inet 2>/dev/null) || exit 0
kept=' '
for table in $(echo "$tables" | sed -n 's/^table inet \\(lmas_[0-9]*_[0-9]*_[0-9]*\\)$/\\1/p'); do
  owner=\${table#"lmas_\${space}_"}
  if [ "$owner" = "$table" ] || [ "$(start_time "\${owner%_*}")" = "\${owner#*_}" ]; then
    kept="$kept$table "
  elif nft delete table inet "$table"; then
    echo "$table"
  fi
done
echo "$rules" | while read -r family mark; do
  [ -n "$mark" ] || continue
  case "$kept" in *" lmas_"*"_$((mark - 0x4c000000))_"*) continue ;; esac
  ip "$family" route flush table "$((mark))" 2>/dev/null || true
  ip "$family" rule del fwmark "$mark" lookup "$((mark))" || true
done
`;

/** No arguments. Prints the names of barriers, one a line. */
export const LIST_BARRIERS = `${FUNCTIONS}
standing=$(barriers)
echo "$standing" | sed 's/^lmas_barrier_//; s/\\..*//' | sort -u
`;

/**
 * Arguments: run directory, fence, token, name of a barrier. Takes it away for all of its routes; "not there" is done, and not to
 * be able to look is not.
 */
export const REMOVE_BARRIER = `${HEEDING}
heed "$2" "$3"
standing=$(barriers)
for table in $standing; do
  case "$table" in "lmas_barrier_$4".*) nft delete table inet "$table" ;; esac
done
tidy "$2" "$1"
`;
