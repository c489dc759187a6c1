/**
 * Projects as registered. The name of a removed project is never given away again: records of its migrations stay, and
 * must not become visible to somebody else.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { inShort } from '../in-short.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { addField, replaceField } from '../redis/replace-field.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';
import { type projectInputSchema, projectSchema, type projectUpdateSchema } from '../schemas/project.ts';
import { projectSees } from './principal.ts';

export type Project = z.infer<typeof projectSchema>;

const storedProjectSchema = projectSchema.extend({ removedAt: z.string().nullable() });
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
}

export function createProjects(redis: Redis): Projects {
  const parse = (json: string): StoredProject => readStored(storedProjectSchema, json);
  const find = async (id: string, project: string | null): Promise<{ json: string; stored: StoredProject }> => {
    const json = projectSees(project, id) ? await redis.hget(keys.projects, id) : null;
    const stored = json === null ? undefined : parse(json);
    if (json !== null && stored?.removedAt === null) return { json, stored };
    throw new LmasError('PROJECT_NOT_FOUND', `There is no project ${id}.`);
  };
  const change = async (id: string, apply: (project: StoredProject) => StoredProject): Promise<StoredProject> => {
    for (;;) {
      const { json, stored } = await find(id, null);
      const changed = apply(stored);
      if (await replaceField(redis, keys.projects, id, json, rewriteStored(storedProjectSchema, json, changed)))
        return changed;
    }
  };
  return {
    async add(input) {
      const stored: StoredProject = { ...input, createdAt: now(), removedAt: null };
      if (!(await addField(redis, keys.projects, input.id, JSON.stringify(stored)))) {
        throw new LmasError('ALREADY_EXISTS', `There is, or was, a project ${input.id}.`);
      }
      return publicPart(stored);
    },
    async list(project) {
      return (await redis.hvals(keys.projects))
        .map(parse)
        .filter(({ id, removedAt }) => removedAt === null && projectSees(project, id))
        .map(publicPart)
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    get: async (id, project) => publicPart((await find(id, project)).stored),
    async update(id, { description, endpoints }, expect) {
      const changed = await change(id, (stored) => {
        expect(publicPart(stored));
        return {
          ...stored,
          ...(description === undefined ? {} : { description }),
          ...(endpoints === undefined ? {} : { endpoints }),
        };
      });
      return publicPart(changed);
    },
    async remove(id, usersOf) {
      await find(id, null);
      const users = await usersOf(id);
      if (users.length > 0) {
        throw new LmasError('IN_USE', `To ${id} still belong ${inShort(users)}.`, { remedy: 'Remove these first.' });
      }
      await change(id, (stored) => ({ ...stored, endpoints: [], removedAt: now() }));
    },
    async granted(project) {
      if (project === null) return () => true;
      const { endpoints } = (await find(project, project)).stored;
      if (endpoints === null) return () => true;
      const names = new Set(endpoints);
      return (endpoint) => names.has(endpoint);
    },
  };
}

const publicPart = ({ removedAt: _, ...project }: StoredProject): Project => project;
