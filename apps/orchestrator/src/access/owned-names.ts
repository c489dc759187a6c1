/**
 * Names of what belongs to a project. Every project has its own ones, and so has the installation: that a name is taken
 * elsewhere is noticed by nobody. On record, and for whoever sees the whole installation, they read `project.name`; the
 * project itself leaves its own name away. A name has no dot, so the two cannot be confused. Pure.
 */

/** As it is on record; null is the installation, whose names are what they are. */
export const fullName = (project: string | null, name: string): string =>
  project === null ? name : `${project}.${name}`;

/** As whoever is bound to `project` reads and writes it. */
export const ownName = (project: string | null, name: string): string =>
  project !== null && name.startsWith(`${project}.`) ? name.slice(project.length + 1) : name;

interface NamesPlans {
  readonly plan: string | null;
  readonly reverseOfPlan: string | null;
}

/** A run, with the plans that it names as whoever is bound to `project` reads them. */
export const withOwnPlans = <Run extends NamesPlans>(project: string | null, run: Run): Run => ({
  ...run,
  plan: run.plan && ownName(project, run.plan),
  reverseOfPlan: run.reverseOfPlan && ownName(project, run.reverseOfPlan),
});
