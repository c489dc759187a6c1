/** What `lmas-gateway --help` prints. */
export const help = `lmas-gateway - one end of an LMAS tunnel

SYNOPSIS
  lmas-gateway run --control SOCKET [--lease-ms N] [--log-file FILE] [--log-level LEVEL]
  lmas-gateway --config FILE [--log-file FILE] [--log-level LEVEL]
  lmas-gateway status --control SOCKET
  lmas-gateway keygen --out DIRECTORY [--days N]
  lmas-gateway --version | --help

DESCRIPTION
  Two gateways, one at each site, carry TCP connections of hypervisors through one authenticated and encrypted session: a
  control channel on mutual TLS 1.3 and a data channel of many parallel TCP connections. A gateway serves one session.

COMMANDS
  run       Started by the orchestrator. Makes a key in memory, waits for its configuration on the control socket, and ends
            when its lease has run out and no stream is open.
  --config  Static mode, by hand: session, routes and certificates come from a JSON file (see README.md for two machines).
            Runs until SIGTERM or SIGINT; a session that was lost is begun again.
  status    Prints the status of a running gateway as JSON.
  keygen    Writes certificate.pem and key.pem (mode 0600) into a directory. Give the other side only certificate.pem.

OPTIONS
  --control SOCKET   Path of the Unix socket of the control API. Its directory is made with mode 0700 if it is missing.
  --lease-ms N       How long to live without word from the orchestrator. Default 60000.
  --log-file FILE    Where JSON lines are appended; standard error without it.
  --log-level LEVEL  debug, info, warn or error. Default info.
  --days N           Validity of the certificate. Default 3650.
  --version          Prints the version.
  --help             Prints this.

SIGNALS
  SIGTERM, SIGINT    Tells the peer, resets the streams, removes the socket and ends with status 0.

ENVIRONMENT
  LMAS_GATEWAY_NO_FFI=1  Never call the kernel or OpenSSL directly: slower, for machines where that is not wanted.

EXIT STATUS
  0  ended as asked, or its lease ran out      1  failed; the log says why      2  wrong usage

SEE ALSO
  PROTOCOL.md (every byte on the wire), README.md (a two-machine example)
`;
