/** What `lmas-gateway --help` prints. */
export const help = `LMAS-GATEWAY(8)

NAME
  lmas-gateway - one end of an LMAS tunnel

SYNOPSIS
  lmas-gateway run --control SOCKET [--lease-ms N] [--log-file FILE] [--log-level LEVEL]
  lmas-gateway --config FILE [--log-file FILE] [--log-level LEVEL]
  lmas-gateway status --control SOCKET [--watch] [--json]
  lmas-gateway doctor [--mode redirected|transparent] [--json]
  lmas-gateway clean [--barrier NAME]
  lmas-gateway keygen --out DIRECTORY [--days N]
  lmas-gateway --version | --help

DESCRIPTION
  Two gateways, one at each site, carry TCP connections of hypervisors through one authenticated and encrypted session: a
  control channel on mutual TLS 1.3 and a data channel of many parallel TCP connections. A gateway serves one session.

  A route says which connections. Redirected: the hypervisor is given the gateway's address. Transparent: the gateway is
  the next hop, intercepts exact address pairs and ports, and keeps the addresses of both ends; it needs root or
  CAP_NET_ADMIN, and what it does not intercept is forwarded as if it were not there.

COMMANDS
  run       Started by the orchestrator. Makes a key in memory, waits for its configuration on the control socket, and ends
            when its lease has run out and no stream is open.
  --config  Static mode, by hand: session, routes and certificates come from a JSON file (see README.md for two machines).
            Runs until SIGTERM or SIGINT; a session that was lost is begun again.
  status    What a running gateway does: session, link, subflows, routes, streams; with --watch every second.
  doctor    Looks at what this machine has and lacks for redirected and transparent mode, and says how to mend it.
            Changes nothing.
  clean     Removes packet rules and routes that a killed gateway left. Until then they forward everything; the next
            gateway's start does the same. A living gateway's are never touched. With --barrier, takes away that barrier and
            nothing else: what it refused is forwarded from then on.
  keygen    Writes certificate.pem and key.pem (mode 0600) into a directory, never over a key that is there. Give the other
            side only certificate.pem.

OPTIONS
  --barrier NAME     A route's barrier, as its configuration names it; doctor lists those that stand.
  --control SOCKET   Path of the Unix socket of the control API. Its directory is made with mode 0700 if it is missing.
  --lease-ms N       How long to live without word from the orchestrator. Default 60000.
  --log-file FILE    Where JSON lines are appended; standard error without it. Moved away, it is begun anew. Lines that
                     cannot be written (a full disk) are lost and counted, and end nothing.
  --log-level LEVEL  debug, info, warn or error. Default info.
  --watch            Shows the status again every second, until interrupted.
  --json             For programs: the whole status (with --watch one line each time), or every check.
  --mode MODE        Looks at this mode only. Without it, at both.
  --days N           Validity of the certificate. Default 3650.
  --version          Prints the version.
  --help             Prints this.

SIGNALS
  SIGTERM, SIGINT, SIGHUP, SIGQUIT
                     Tells the peer, resets the streams, removes its rules and its socket, and ends with status 0.
  SIGKILL            Its rules stay and forward everything; see clean.
                     Barriers of its routes stay whatever ends it, and refuse what would be forwarded.

FILES
  SOCKET             The control API: HTTP, JSON, and GET /metrics for Prometheus. Mode 0600.

ENVIRONMENT
  LMAS_GATEWAY_NO_FFI=1  Never call the kernel or OpenSSL directly: slower, and no transparent mode.

EXIT STATUS
  0  ended as asked, or its lease ran out; doctor: nothing is missing
  1  failed, and standard error or the log says why; doctor: something is missing
  2  wrong usage

EXAMPLES
  lmas-gateway keygen --out /var/lib/lmas
  lmas-gateway --config /var/lib/lmas/gateway.json
  lmas-gateway status --control /run/lmas/control.sock --watch
  curl --unix-socket /run/lmas/control.sock http://gateway/metrics

SEE ALSO
  README.md (a two-machine example), docs/transparent-mode.md, PROTOCOL.md (every byte on the wire), nft(8), ip-rule(8)
`;
