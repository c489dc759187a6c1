/**
 * Projects as registered. The name of a removed project is never given away again: records of its migrations stay, and
 * must not become visible to somebody else. How many migrations of one may be under way stands where admission looks for the limit of
 * every group, and is changed and announced in the same step as the rest.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { projectGroup } from '../admission/groups.ts';
import { errorCode, LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { type FieldChange, replaceFields } from '../redis/replace-field.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';
import {
  type projectInputSchema,
  projectLimitsSchema,
  projectSchema,
  type projectUpdateSchema,
} from '../schemas/project.ts';
import { projectSees } from './principal.ts';

export type Project = z.infer<typeof projectSchema>;
export type ProjectLimits = Project['limits'];

const UNLIMITED: ProjectLimits = { maxMigrations: null, maxWaiting: null, maxPriority: null };

/** Earlier ones have no limits. */
const storedProjectSchema = projectSchema.extend({
  limits: projectLimitsSchema.omit({ maxMigrations: true }).default({ maxWaiting: null, maxPriority: null }),
  removedAt: z.string().nullable(),
});
type StoredProject = z.infer<typeof storedProjectSchema>;

export interface Projects {
  /** @throws LmasError ALREADY_EXISTS */
  add(input: z.output<typeof projectInputSchema>): Promise<Project>;
  /** Those that somebody bound to `project` sees. */
  list(project: string | null): Promise<Project[]>;
  /** @throws LmasError PROJECT_NOT_FOUND */
  get(id: string, project: string | null): Promise<Project>;
  /**
   * @param expect is given what is there, before anything is changed, and throws where it is not what the caller looked at
   * @throws LmasError PROJECT_NOT_FOUND
   */
  update(
    id: string,
    changes: z.output<typeof projectUpdateSchema>,
    expect: (current: Project) => void,
  ): Promise<Project>;
  /** `usersOf` names what still belongs to it. @throws LmasError PROJECT_NOT_FOUND, IN_USE */
  remove(id: string, usersOf: (id: string) => Promise<readonly string[]>): Promise<void>;
  /** Whether a project may use an endpoint, for many at once. */
  granted(project: string | null): Promise<(endpoint: string) => boolean>;
  /** The installation has none, nor has a project that was removed. */
  limitsOf(project: string | null): Promise<ProjectLimits>;
}

export function createProjects(redis: Redis): Projects {
  const parse = (json: string): StoredProject => readStored(storedProjectSchema, json);
  const placesOf = (id: string): Promise<string | null> => redis.hget(keys.placeLimits, projectGroup(id));
  const find = async (id: string, project: string | null): Promise<{ json: string; stored: StoredProject }> => {
    const json = projectSees(project, id) ? await redis.hget(keys.projects, id) : null;
    const stored = json === null ? undefined : parse(json);
    if (json !== null && stored?.removedAt === null) return { json, stored };
    throw new LmasError('PROJECT_NOT_FOUND', `There is no project ${id}.`);
  };
  const findWhole = async (id: string, project: string | null): Promise<Found> => {
    const [{ json, stored }, places] = await Promise.all([find(id, project), placesOf(id)]);
    return { json, places, project: shown(stored, places) };
  };
  /** The record and the limit of its group, or neither. */
  const store = async (
    { json, places }: Pick<Found, 'places'> & { json: string | null },
    { id, limits: { maxMigrations, ...limits }, ...rest }: Project,
    removedAt: string | null,
  ): Promise<boolean> => {
    const stored: StoredProject = { id, ...rest, limits, removedAt };
    const after = json === null ? JSON.stringify(stored) : rewriteStored(storedProjectSchema, json, stored);
    const changes: FieldChange[] = [
      { hash: keys.projects, field: id, before: json, after },
      {
        hash: keys.placeLimits,
        field: projectGroup(id),
        before: places,
        after: maxMigrations === null ? null : String(maxMigrations),
      },
    ];
    return await replaceFields(redis, changes, keys.admissionChannel);
  };
  return {
    async add(input) {
      const project: Project = { ...input, createdAt: now() };
      if (!(await store({ json: null, places: await placesOf(input.id) }, project, null))) {
        throw new LmasError('ALREADY_EXISTS', `There is, or was, a project ${input.id}.`);
      }
      return project;
    },
    async list(project) {
      const [all, places] = await Promise.all([redis.hvals(keys.projects), redis.hgetall(keys.placeLimits)]);
      return all
        .map(parse)
        .filter(({ id, removedAt }) => removedAt === null && projectSees(project, id))
        .map((stored) => shown(stored, places[projectGroup(stored.id)] ?? null))
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    get: async (id, project) => (await findWhole(id, project)).project,
    async update(id, { description, endpoints, limits = {} }, expect) {
      for (;;) {
        const found = await findWhole(id, null);
        const { project } = found;
        expect(project);
        const changed: Project = {
          ...project,
          ...(description === undefined ? {} : { description }),
          ...(endpoints === undefined ? {} : { endpoints }),
          limits: changedLimits(project.limits, limits),
        };
        if (await store(found, changed, null)) return changed;
      }
    },
    async remove(id, usersOf) {
      await find(id, null);
      const users = await usersOf(id);
      if (users.length > 0) {
        throw new LmasError('IN_USE', `To ${id} still belong ${inShort(users)}.`, { remedy: 'Remove these first.' });
      }
      for (;;) {
        const found = await findWhole(id, null);
        if (await store(found, { ...found.project, endpoints: [], limits: UNLIMITED }, now())) return;
      }
    },
    async granted(project) {
      if (project === null) return () => true;
      const { endpoints } = (await find(project, project)).stored;
      if (endpoints === null) return () => true;
      const names = new Set(endpoints);
      return (endpoint) => names.has(endpoint);
    },
    async limitsOf(project) {
      if (project === null) return UNLIMITED;
      try {
        return (await findWhole(project, project)).project.limits;
      } catch (error) {
        if (errorCode(error) === 'PROJECT_NOT_FOUND') return UNLIMITED;
        throw error;
      }
    },
  };
}

/** A project with what it is made of on record. */
interface Found {
  readonly json: string;
  readonly places: string | null;
  readonly project: Project;
}

type LimitsChange = { readonly [K in keyof ProjectLimits]?: ProjectLimits[K] | undefined };

/** What is `undefined` stays as it is. */
function changedLimits(before: ProjectLimits, change: LimitsChange): ProjectLimits {
  const named = Object.entries(change).filter(([, value]) => value !== undefined);
  return { ...before, ...Object.fromEntries(named) };
}

const shown = ({ removedAt: _, limits, ...project }: StoredProject, places: string | null): Project => ({
  ...project,
  limits: { maxMigrations: places === null ? null : Number(places), ...limits },
});
