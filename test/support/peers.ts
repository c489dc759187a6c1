/** Peer-to-peer migrations in a lab: the source's daemon has to reach the destination's by itself. */
import type { Lab } from '../lab/src/index.ts';
import { endpointId } from './two-sites.ts';
import type { World } from './world.ts';

const PEERS_OF_B = 'kvm-b-peers';

/** Host B's libvirtd listens for its peers: plain TCP will do in a lab. For `prepare` of `World.up`. */
export async function listenForPeers({ sites }: Lab): Promise<void> {
  const { host } = sites.b;
  await host.exec(['sh', '-c', 'printf \'listen_tcp = 1\\nauth_tcp = "none"\\n\' >> /etc/libvirt/libvirtd.conf']);
  await host.killLibvirtd();
  const start = 'rm -f /run/libvirtd.pid; exec libvirtd --listen --daemon --pid-file /run/libvirtd.pid';
  await host.exec(['sh', '-c', start]);
  await host.libvirtAnswers();
}

/** Host B once more, with the way in which host A reaches its libvirt. @returns the endpoint's id */
export async function peersOf({ client }: World): Promise<string> {
  const { config, site, plugin, credential } = await client.getEndpoint(endpointId('b'));
  const peers = { ...config, peerToPeer: { uriScheme: 'qemu+tcp' } };
  await client.createEndpoint({ id: PEERS_OF_B, site, plugin, credential, config: peers });
  return PEERS_OF_B;
}
