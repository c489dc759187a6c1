/**
 * Where Redis is, as people write it:
 *
 *   redis://[user:password@]host[:6379][/db]                               one server; rediss:// with TLS
 *   redis+sentinel://[user:password@]host[:26379],host…/master-name[/db]   whoever the sentinels say is the master
 *   redis+cluster://[user:password@]host[:6379],host…                      a cluster; everything of ours lives in one slot
 *
 * With TLS: rediss+sentinel, rediss+cluster. Pure.
 */

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

interface Access {
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls: boolean;
}

export type RedisAddress =
  /** The private server's Unix socket. */
  | { readonly kind: 'socket'; readonly socketPath: string }
  | (Access & { readonly kind: 'server'; readonly nodes: readonly [RedisNode, ...RedisNode[]] })
  | (Access & {
      readonly kind: 'sentinel';
      readonly nodes: readonly [RedisNode, ...RedisNode[]];
      readonly masterName: string;
    })
  | (Access & { readonly kind: 'cluster'; readonly nodes: readonly [RedisNode, ...RedisNode[]] });

const SCHEME = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(.+)$/;
const DEFAULT_PORT = { server: 6_379, sentinel: 26_379, cluster: 6_379 } as const;

/** @throws TypeError that says in words what is wrong; never with the password in it */
export function parseRedisUrl(text: string): Exclude<RedisAddress, { kind: 'socket' }> {
  const [, scheme, service = 'server', rest = ''] = SCHEME.exec(text) ?? [];
  if (scheme === undefined)
    throw new TypeError('must begin with redis://, redis+sentinel://, redis+cluster:// or rediss…');
  const kind = service as keyof typeof DEFAULT_PORT;
  const at = rest.lastIndexOf('@');
  const [hosts = '', ...path] = rest.slice(at + 1).split('/');
  const nodes = hosts.split(',').map((node) => parseNode(node, DEFAULT_PORT[kind]));
  const [first, ...others] = nodes;
  if (first === undefined) throw new TypeError('names no host');
  if (kind === 'server' && others.length > 0)
    throw new TypeError('several hosts need redis+sentinel:// or redis+cluster://');
  const common = {
    ...parseLogin(at < 0 ? '' : rest.slice(0, at)),
    tls: scheme === 'rediss',
    nodes: [first, ...others],
  } as const;
  if (kind === 'sentinel') {
    const [masterName = '', db = ''] = path;
    if (masterName === '') throw new TypeError('the name of the master is missing: redis+sentinel://host,host/NAME');
    return { kind, ...common, masterName: decodeURIComponent(masterName), db: parseDb(db) };
  }
  const db = parseDb(path[0] ?? '');
  if (kind === 'cluster' && db !== 0) throw new TypeError('a cluster has no databases but 0');
  return { kind, ...common, db };
}

function parseNode(text: string, defaultPort: number): RedisNode {
  const [, bracketed, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port ?? 1) > 65_535) throw new TypeError(`"${text}" is no host and port`);
  return { host, port: port === undefined ? defaultPort : Number(port) };
}

function parseLogin(text: string): { username?: string; password?: string } {
  if (text === '') return {};
  const [username = '', ...password] = text.split(':');
  return {
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password.length === 0 ? {} : { password: decodeURIComponent(password.join(':')) }),
  };
}

function parseDb(text: string): number {
  if (!/^\d{0,4}$/.test(text)) throw new TypeError(`"${text}" is no number of a database`);
  return Number(text);
}

/** For people; without the password. */
export function describeAddress(address: RedisAddress): string {
  if (address.kind === 'socket') return address.socketPath;
  const scheme = `${address.tls ? 'rediss' : 'redis'}${address.kind === 'server' ? '' : `+${address.kind}`}`;
  const hosts = address.nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return `${scheme}://${hosts}${address.kind === 'sentinel' ? `/${address.masterName}` : ''}`;
}
