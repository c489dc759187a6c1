/** Where a VM can go from where it is. Pure. */

interface Place {
  readonly id: string;
  readonly plugin: string;
}

/**
 * Every other endpoint of the same hypervisor; all of them while it is not known where it comes from. Its own one, too, where disks can move
 * alone.
 */
export function destinationsFrom<Endpoint extends Place>(
  source: string,
  endpoints: readonly Endpoint[],
  { withItself = false }: { withItself?: boolean } = {},
): Endpoint[] {
  const plugin = endpoints.find(({ id }) => id === source)?.plugin;
  return endpoints.filter(
    (one) => (one.id !== source || withItself) && (plugin === undefined || one.plugin === plugin),
  );
}

/** What another source changes: its VMs are others, and a destination stays only as long as it is offered. */
export function withSource(source: string, { destination }: { destination: string }, endpoints: readonly Place[]) {
  const isOffered = destinationsFrom(source, endpoints).some(({ id }) => id === destination);
  return { source, vm: '', destination: isOffered ? destination : '' };
}
