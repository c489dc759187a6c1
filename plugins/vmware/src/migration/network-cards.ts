/** Which network each card of a VM is plugged into at the destination. Pure. */
import { allNamed, decodeName, type Host, type Network } from '../inventory/places.ts';
import { isCard, labelOf } from '../inventory/summary.ts';
import type { Device } from '../records.ts';
import { data, type RawObject, sameRef } from '../wire/data-objects.ts';
import { findOrGap, type Gap } from './gap.ts';
import type { Parts } from './plan.ts';

export interface PlannedCard {
  readonly device: Device;
  /** As the vSphere Client shows it: `Network adapter 1`. */
  readonly label: string;
  readonly networkName: string;
  /** Its id, where the vCenter shows it. */
  readonly networkId: string | undefined;
  /** Where it is plugged in; `undefined` when nobody could say. */
  readonly network: Network | undefined;
  readonly changes: boolean;
}

/** `networkMap` names a network by name or id, or one card by its label, which counts for more. */
export function mapCards(
  parts: Parts,
  host: Host | undefined,
): { readonly cards: readonly PlannedCard[]; readonly gaps: readonly Gap[] } {
  const { request, sourcePlaces, destinationPlaces, sameVCenter } = parts;
  const gaps: Gap[] = [];
  // Whether a host would see it nobody can say without one; but one that the destination has nowhere is none.
  const seen = destinationPlaces.networks.filter(
    ({ ref }) => host === undefined || host.record.network.some((each) => sameRef(each, ref)),
  );
  const cards = parts.vm.record['config.hardware.device'].filter(isCard).map((device): PlannedCard => {
    const label = labelOf(device);
    const now = networkNow(sourcePlaces.networks, device);
    const networkName = decodeName(now?.record.name ?? device.backing?.deviceName ?? 'an unknown network');
    const networkId = now?.ref.value;
    const mapped =
      request.networkMap[label] ?? request.networkMap[networkName] ?? request.networkMap[networkId ?? networkName];
    const keepsName = mapped === undefined || mapped === networkName;
    const stays = keepsName && sameVCenter ? seen.find(({ ref }) => sameRef(ref, now?.ref)) : undefined;
    const gap: Gap = {
      kind: 'network',
      message: `${label} is in ${networkName}, and ${host?.record.name ?? 'the destination'} has no network ${mapped ?? networkName}.`,
      remedy: `Map it in networkMap to one of: ${seen.map(({ record }) => decodeName(record.name)).join(', ') || 'none'}.`,
    };
    if (host === undefined && allNamed(seen, mapped ?? networkName).length === 0) gaps.push(gap);
    const network = host === undefined ? undefined : (stays ?? findOrGap(seen, mapped ?? networkName, gap, gaps));
    const changes = !(sameVCenter && sameRef(now?.ref, network?.ref));
    return { device, label, networkName, networkId, network, changes };
  });
  return { cards, gaps: [...gaps, ...strangersOf(parts, cards)] };
}

/** A slip of the pen would leave a card to the network that has the same name at the destination. */
function strangersOf({ request, sourcePlaces, vm }: Parts, cards: readonly PlannedCard[]): Gap[] {
  // vSphere counts networks of a VM, and so does the inventory, that no card of it is in now (of its snapshots).
  const others = sourcePlaces.networks.filter(({ ref }) => vm.record.network.some((each) => sameRef(each, ref)));
  const known = new Set([
    ...cards.flatMap(({ label, networkName, networkId }) => [label, networkName, networkId]),
    ...others.flatMap(({ ref, record }) => [ref.value, decodeName(record.name)]),
  ]);
  const has = cards.map(({ label, networkName }) => `${networkName} (${label})`).join(', ') || 'none';
  return Object.keys(request.networkMap).flatMap((name) =>
    known.has(name)
      ? []
      : {
          kind: 'network-unknown',
          message: `The network map names ${name}, which the VM does not have.`,
          remedy: `Correct the network map: its networks are ${has}.`,
        },
  );
}

function networkNow(networks: readonly Network[], { backing }: Device): Network | undefined {
  const { network, port, opaqueNetworkId } = backing ?? {};
  return networks.find(
    (each) =>
      sameRef(each.ref, network) ||
      (port?.portgroupKey !== undefined && each.portgroup?.key === port.portgroupKey) ||
      (opaqueNetworkId !== undefined && each.opaque?.id === opaqueNetworkId),
  );
}

/** The card as it was read, with another backing. vSphere keeps its address. */
export function rewired({ device }: PlannedCard, network: Network): RawObject {
  return { ...device.raw, backing: backingFor(network) };
}

function backingFor({ ref, record, portgroup, opaque }: Network) {
  if (portgroup !== undefined) {
    const port = data('DistributedVirtualSwitchPortConnection', {
      switchUuid: portgroup.switchUuid,
      portgroupKey: portgroup.key,
    });
    return data('VirtualEthernetCardDistributedVirtualPortBackingInfo', { port });
  }
  if (opaque !== undefined) {
    const { id: opaqueNetworkId, type: opaqueNetworkType } = opaque;
    return data('VirtualEthernetCardOpaqueNetworkBackingInfo', { opaqueNetworkId, opaqueNetworkType });
  }
  return data('VirtualEthernetCardNetworkBackingInfo', { deviceName: decodeName(record.name), network: ref });
}
