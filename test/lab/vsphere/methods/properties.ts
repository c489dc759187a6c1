/** PropertyCollector and views: how clients read the inventory, and follow it. */
import type { Call, Methods } from '../endpoint.ts';
import { invalidArgument, notFound } from '../fault.ts';
import { Collector } from '../inventory/collector.ts';
import { contentsOf } from '../inventory/container-view.ts';
import { type DataObject, isObject, listOf, type MoRef, type Value } from '../schema/value.ts';

function collectorOf({ session, target }: Call): Collector {
  const collector = session.collectors.get(target.value);
  if (collector === undefined) throw notFound(target);
  return collector;
}

const numberIn = (options: Value | undefined, member: string): number | undefined => {
  const value = isObject(options) ? options[member] : undefined;
  return typeof value === 'number' ? value : undefined;
};

function waitForUpdates(call: Call): Promise<DataObject | undefined> {
  const { version = '', options } = call.parameters;
  const seconds = numberIn(options, 'maxWaitSeconds');
  return collectorOf(call).updates(
    String(version),
    {
      maxWaitMs: seconds === undefined ? undefined : seconds * 1_000,
      maxObjectUpdates: numberIn(options, 'maxObjectUpdates'),
    },
    { signal: call.signal },
  );
}

function createContainerView({ endpoint, session, parameters }: Call): MoRef {
  const { objects } = endpoint;
  const container = parameters.container as MoRef;
  const types = listOf<string>(parameters.type);
  const recursive = parameters.recursive === true;
  objects.need(container);
  const view = contentsOf(objects, { container, types, recursive });
  const ref = objects.newRef('ContainerView', `session[${session.id.slice(0, 8)}]view-`);
  objects.add(ref, { container, type: types, recursive, view });
  session.views.add(ref.value);
  return ref;
}

export const PROPERTY_METHODS: Methods = {
  'PropertyCollector.RetrievePropertiesEx': (call) =>
    collectorOf(call).retrieve(listOf(call.parameters.specSet), numberIn(call.parameters.options, 'maxObjects')),
  'PropertyCollector.RetrieveProperties': (call) =>
    listOf(collectorOf(call).retrieve(listOf(call.parameters.specSet), undefined)?.objects),
  'PropertyCollector.ContinueRetrievePropertiesEx': (call) => collectorOf(call).next(String(call.parameters.token)),
  'PropertyCollector.CancelRetrievePropertiesEx': (call) => {
    collectorOf(call).cancelRetrieve(String(call.parameters.token));
    return undefined;
  },
  'PropertyCollector.CreatePropertyCollector': ({ endpoint, session }) => {
    const ref = endpoint.objects.newRef('PropertyCollector', `session[${session.id.slice(0, 8)}]`);
    endpoint.objects.add(ref);
    session.collectors.set(ref.value, new Collector(endpoint.objects, ref));
    return ref;
  },
  'PropertyCollector.DestroyPropertyCollector': (call) => {
    collectorOf(call).close(notFound(call.target));
    call.session.collectors.delete(call.target.value);
    call.endpoint.objects.remove(call.target);
    return undefined;
  },
  'PropertyCollector.CreateFilter': (call) => {
    const { endpoint, parameters } = call;
    const ref = endpoint.objects.newRef('PropertyFilter', `session[${call.session.id.slice(0, 8)}]filter-`);
    const spec = parameters.spec as DataObject;
    collectorOf(call).createFilter(ref, spec, parameters.partialUpdates === true);
    endpoint.objects.add(ref, { spec, partialUpdates: parameters.partialUpdates === true });
    return ref;
  },
  'PropertyFilter.DestroyPropertyFilter': ({ endpoint, session, target }) => {
    if (![...session.collectors.values()].some((collector) => collector.destroyFilter(target))) throw notFound(target);
    endpoint.objects.remove(target);
    return undefined;
  },
  'PropertyCollector.WaitForUpdatesEx': waitForUpdates,
  'PropertyCollector.WaitForUpdates': waitForUpdates,
  'PropertyCollector.CheckForUpdates': (call) =>
    collectorOf(call).updates(
      String(call.parameters.version ?? ''),
      { maxWaitMs: 0, maxObjectUpdates: undefined },
      { signal: call.signal },
    ),
  'PropertyCollector.CancelWaitForUpdates': (call) => {
    collectorOf(call).cancelWaits();
    return undefined;
  },
  'ViewManager.CreateContainerView': createContainerView,
  'ManagedObjectView.DestroyView': ({ endpoint, session, target }) => {
    if (!session.views.delete(target.value)) throw invalidArgument('view');
    endpoint.objects.remove(target);
    return undefined;
  },
};
