/** Which network each card of a VM is plugged into at the destination. Pure. */
import { decodeName, type Host, type Network } from '../inventory/places.ts';
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
  /** Where it is plugged in; `undefined` when nobody could say. */
  readonly network: Network | undefined;
  readonly changes: boolean;
}

/** `networkMap` names a network, or one card by its label, which counts for more. */
export function mapCards(
  parts: Parts,
  host: Host | undefined,
): { readonly cards: readonly PlannedCard[]; readonly gaps: readonly Gap[] } {
  const { request, sourcePlaces, destinationPlaces, sameVCenter } = parts;
  const gaps: Gap[] = [];
  const seen = destinationPlaces.networks.filter(({ ref }) => host?.record.network.some((each) => sameRef(each, ref)));
  const cards = parts.vm.record['config.hardware.device'].filter(isCard).map((device): PlannedCard => {
    const label = labelOf(device);
    const now = networkNow(sourcePlaces.networks, device);
    const networkName = decodeName(now?.record.name ?? device.backing?.deviceName ?? 'an unknown network');
    const mapped = request.networkMap[label] ?? request.networkMap[networkName];
    const keepsName = mapped === undefined || mapped === networkName;
    const stays = keepsName && sameVCenter ? seen.find(({ ref }) => sameRef(ref, now?.ref)) : undefined;
    const gap: Gap = {
      kind: 'network',
      message: `${label} is in ${networkName}, and ${host?.record.name} has no network ${mapped ?? networkName}.`,
      remedy: `Map it in networkMap to one of: ${seen.map(({ record }) => decodeName(record.name)).join(', ') || 'none'}.`,
    };
    const network = stays ?? (host === undefined ? undefined : findOrGap(seen, mapped ?? networkName, gap, gaps));
    return { device, label, networkName, network, changes: !(sameVCenter && sameRef(now?.ref, network?.ref)) };
  });
  return { cards, gaps };
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
