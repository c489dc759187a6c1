/**
 * Reading through vSphere's PropertyCollector: a few objects, all objects of a kind (in pages), or the changes of one. A shape's
 * keys are the property paths. What a login may not see is missing from an answer; the shapes say what has to be there. Of many objects one
 * that has not is left out, with a line in the log, unless the question is `complete`: where what is left out would change the answer.
 */
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import type { Options, VimClient } from './client.ts';
import { isFault } from './errors.ts';
import { list, nothingSchema, object, refSchema, text, truth } from './records.ts';
import { type DataObject, data, type Ref, sameRef } from './wire/data-objects.ts';

/** Objects in one answer; an ESXi host with all of its adapters is about 50 kB. */
const PAGE_OBJECTS = 200;

const contentSchema = object({
  obj: refSchema,
  propSet: list(object({ name: text, val: z.unknown().optional() })),
  missingSet: list(object({ path: text })),
});
const pageSchema = z.preprocess(
  (value) => value ?? {},
  object({ token: text.optional(), objects: list(contentSchema) }),
);

type PropertyShape = z.ZodObject;

export interface Row<T> {
  readonly ref: Ref;
  readonly record: T;
}

export interface Reading extends Options {
  /** An object that cannot be understood is an error. */
  readonly complete?: boolean;
}

const pathsOf = (shape: PropertyShape): readonly string[] => Object.keys(shape.shape);

const propertiesOf = (type: string, shape: PropertyShape): DataObject<'PropertySpec'> =>
  data('PropertySpec', { type, pathSet: pathsOf(shape) });

/** All of a kind that are anywhere below `container`, by default everything. */
export async function readAll<S extends PropertyShape>(
  client: VimClient,
  type: string,
  shape: S,
  options: Reading,
  container: Ref = client.content.rootFolder,
): Promise<Row<z.output<S>>[]> {
  return await withView(client, container, type, options, async (view) => {
    const spec = data('PropertyFilterSpec', { propSet: [propertiesOf(type, shape)], objectSet: [throughView(view)] });
    return parseRows(client, await retrieve(client, spec, options), shape, options);
  });
}

/** Gone objects are missing from the answer. */
export async function readObjects<S extends PropertyShape>(
  client: VimClient,
  refs: readonly Ref[],
  shape: S,
  options: Reading,
): Promise<Row<z.output<S>>[]> {
  const [first] = refs;
  if (first === undefined) return [];
  const spec = data('PropertyFilterSpec', {
    propSet: [propertiesOf(first.type, shape)],
    objectSet: refs.map((obj) => data('ObjectSpec', { obj })),
    reportMissingObjectsInResults: true,
  });
  return parseRows(client, await retrieve(client, spec, options), shape, options);
}

/** `null` when it is gone. */
export async function readObject<S extends PropertyShape>(
  client: VimClient,
  ref: Ref,
  shape: S,
  options: Options,
): Promise<z.output<S> | null> {
  try {
    const rows = await readObjects(client, [ref], shape, { ...options, complete: true });
    return rows.find((row) => sameRef(row.ref, ref))?.record ?? null;
  } catch (error) {
    if (isFault(error, 'ManagedObjectNotFound') && sameRef(refSchema.safeParse(error.detail.obj).data, ref))
      return null;
    throw error;
  }
}

/** A view of all objects of a kind, taken away afterwards. */
async function withView<T>(
  client: VimClient,
  container: Ref,
  type: string,
  options: Options,
  use: (view: Ref) => Promise<T>,
): Promise<T> {
  const params = { container, type: [type], recursive: true };
  const view = await client.call(client.content.viewManager, 'CreateContainerView', params, refSchema, options);
  try {
    return await use(view);
  } finally {
    // With the session it is gone, too.
    await client.call(view, 'DestroyView', {}, nothingSchema, options).catch(() => undefined);
  }
}

const throughView = (view: Ref): DataObject<'ObjectSpec'> =>
  data('ObjectSpec', {
    obj: view,
    skip: true,
    selectSet: [data('TraversalSpec', { name: 'view', type: 'ContainerView', path: 'view', skip: false })],
  });

type Content = z.output<typeof contentSchema>;

async function retrieve(
  client: VimClient,
  spec: DataObject<'PropertyFilterSpec'>,
  options: Options,
): Promise<Content[]> {
  const { propertyCollector } = client.content;
  const paging = { maxObjects: PAGE_OBJECTS };
  const params = { specSet: [spec], options: data('RetrieveOptions', paging) };
  let page = await client.call(propertyCollector, 'RetrievePropertiesEx', params, pageSchema, options);
  const found = [...page.objects];
  while (page.token !== undefined) {
    const { token } = page;
    page = await client.call(propertyCollector, 'ContinueRetrievePropertiesEx', { token }, pageSchema, options);
    found.push(...page.objects);
  }
  return found;
}

function parseRows<S extends PropertyShape>(
  client: VimClient,
  contents: readonly Content[],
  shape: S,
  { complete = false }: Reading,
): Row<z.output<S>>[] {
  return contents.flatMap(({ obj, propSet }) => {
    const parsed = shape.safeParse(Object.fromEntries(propSet.map(({ name, val }) => [name, val])));
    if (parsed.success) return [{ ref: obj, record: parsed.data }];
    if (complete) throw unreadable(obj, parsed.error.message);
    client.noteUnreadable(obj, parsed.error.message);
    return [];
  });
}

const unreadable = ({ type, value }: Ref, reason: string): PluginError =>
  new PluginError('HYPERVISOR_FAULT', `${type} ${value} has an unknown shape: ${reason}`, {
    remedy: 'See that the login may read it: System.View and System.Read on everything that a migration touches.',
  });

const updatesSchema = z.preprocess(
  (value) => value ?? null,
  z
    .looseObject({
      version: text,
      truncated: truth.optional(),
      filterSet: list(
        object({
          objectSet: list(
            object({
              kind: z.enum(['enter', 'modify', 'leave']),
              obj: refSchema,
              changeSet: list(object({ name: text, op: text, val: z.unknown().optional() })),
            }),
          ),
        }),
      ),
    })
    .nullable(),
);
export type Update = NonNullable<z.output<typeof updatesSchema>>['filterSet'][number]['objectSet'][number];

/** What an answer to WaitForUpdatesEx may take beyond what was asked for. */
const WAIT_SLACK_MS = 20_000;

/**
 * The changes of what a filter names, from WaitForUpdatesEx. It has a collector of its own, because a session's common one
 * tells everybody's changes. It belongs to the session that it was made in: `isStale` once that is gone.
 */
export class Watch {
  readonly #client: VimClient;
  readonly #collector: Ref;
  readonly #views: readonly Ref[];
  readonly #mark: object | undefined;
  #version: string | undefined;
  /** Pages that have come, of an answer whose rest was lost: the vCenter tells them no more. */
  #pages: Update[] = [];

  private constructor(client: VimClient, collector: Ref, views: readonly Ref[]) {
    this.#client = client;
    this.#collector = collector;
    this.#views = views;
    this.#mark = client.sessionMark;
  }

  static async object(client: VimClient, ref: Ref, paths: readonly string[], options: Options): Promise<Watch> {
    const propSet = [data('PropertySpec', { type: ref.type, pathSet: paths })];
    return await Watch.#open(
      client,
      [data('PropertyFilterSpec', { propSet, objectSet: [data('ObjectSpec', { obj: ref })] })],
      [],
      options,
    );
  }

  /** Several kinds at once, each all there is. */
  static async kinds(
    client: VimClient,
    kinds: readonly { readonly type: string; readonly shape: PropertyShape }[],
    options: Options,
  ): Promise<Watch> {
    const specs: DataObject<'PropertyFilterSpec'>[] = [];
    const views: Ref[] = [];
    try {
      for (const { type, shape } of kinds) {
        const params = { container: client.content.rootFolder, type: [type], recursive: true };
        const view = await client.call(client.content.viewManager, 'CreateContainerView', params, refSchema, options);
        views.push(view);
        const propSet = [propertiesOf(type, shape)];
        specs.push(data('PropertyFilterSpec', { propSet, objectSet: [throughView(view)] }));
      }
      return await Watch.#open(client, specs, views, options);
    } catch (error) {
      await drop(client, { views }); // a session may live for long, and whoever gave up may come again and again
      throw error;
    }
  }

  static async #open(
    client: VimClient,
    specs: readonly DataObject<'PropertyFilterSpec'>[],
    views: readonly Ref[],
    options: Options,
  ): Promise<Watch> {
    const { propertyCollector } = client.content;
    const collector = await client.call(propertyCollector, 'CreatePropertyCollector', {}, refSchema, options);
    try {
      const watch = new Watch(client, collector, views);
      for (const spec of specs) {
        await client.call(collector, 'CreateFilter', { spec, partialUpdates: false }, refSchema, options);
      }
      return watch;
    } catch (error) {
      await drop(client, { collector, views: [] });
      throw error;
    }
  }

  get isStale(): boolean {
    return this.#mark !== this.#client.sessionMark;
  }

  /** The next changes, all pages of them; the first time, everything as it is. Empty when none came in that time. */
  async next(waitSeconds: number, { signal }: Options): Promise<Update[]> {
    for (let wait = waitSeconds; ; wait = 0) {
      const params = {
        version: this.#version ?? '',
        options: data('WaitOptions', { maxWaitSeconds: wait, maxObjectUpdates: PAGE_OBJECTS }),
      };
      const options = { signal, timeoutMs: wait * 1_000 + WAIT_SLACK_MS };
      const answer = await this.#client.call(this.#collector, 'WaitForUpdatesEx', params, updatesSchema, options);
      if (answer !== null) {
        this.#version = answer.version;
        this.#pages.push(...answer.filterSet.flatMap(({ objectSet }) => objectSet));
      }
      if (answer?.truncated !== true) return this.#pages.splice(0);
    }
  }

  /** Never throws: with the session it is gone, too. */
  async close(): Promise<void> {
    if (!this.isStale) await drop(this.#client, { collector: this.#collector, views: this.#views });
  }
}

const DROP_MS = 5_000;

/** Never throws. */
async function drop(
  client: VimClient,
  { collector, views }: { readonly collector?: Ref; readonly views: readonly Ref[] },
): Promise<void> {
  if (client.closed.aborted) return;
  const options = { signal: AbortSignal.timeout(DROP_MS), timeoutMs: DROP_MS };
  await Promise.allSettled([
    ...(collector === undefined
      ? []
      : [client.call(collector, 'DestroyPropertyCollector', {}, nothingSchema, options)]),
    ...views.map((view) => client.call(view, 'DestroyView', {}, nothingSchema, options)),
  ]);
}
