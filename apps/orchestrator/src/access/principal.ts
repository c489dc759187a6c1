/**
 * Who calls: what an API key or a token says about its holder, in one shape. Whoever is not bound to a project acts for
 * the whole installation.
 */
export const ROLES = ['viewer', 'operator', 'admin'] as const;

/** `viewer` looks, `operator` moves VMs, `admin` also says who may; each may what those before it may. */
export type Role = (typeof ROLES)[number];

export interface Principal {
  readonly kind: 'api-key' | 'oidc';
  /** Of the key, or the token's subject. */
  readonly id: string;
  /** For people: the key's name, or who the token says it is. */
  readonly name: string;
  readonly role: Role;
  /** The project whose things it sees; null: everything. */
  readonly project: string | null;
  /** The only operations (ids of the OpenAPI document) that it may call; null: all that its role may. */
  readonly operations: readonly string[] | null;
  /**
   * When its holder is trusted no longer: the end of a key; null: none is known. Of a token always, since its end only says by when
   * a person has to log in again.
   */
  readonly expiresAt: string | null;
  /** It has shown the secret of a key that was rotated since, within its grace time, at whose end `expiresAt` is then at the latest. */
  readonly isFormer?: boolean;
}

export const roleIncludes = (held: Role, needed: Role): boolean => ROLES.indexOf(held) >= ROLES.indexOf(needed);

/** Whether somebody bound to `project` sees what belongs to `owner`; null is the whole installation for both. */
export const projectSees = (project: string | null, owner: string | null): boolean =>
  project === null || project === owner;
