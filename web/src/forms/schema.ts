/** The JSON schema of a job as the server tells it, as far as the form reads it. */

export interface Facts {
  readonly tab: string;
  readonly group: string;
  readonly level: Level;
  readonly unit: string;
  readonly architectures: readonly string[];
  readonly kohya: readonly string[];
  readonly aitoolkit: readonly string[];
  readonly path: boolean;
  readonly secret: boolean;
  readonly on_resume: string;
  readonly owner: string;
}

export interface Node {
  readonly $ref?: string;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly discriminator?: { readonly mapping: Readonly<Record<string, string>>; readonly propertyName: string };
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly (string | number)[];
  readonly items?: Node;
  readonly prefixItems?: readonly Node[];
  readonly additionalProperties?: Node | boolean;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly maxLength?: number;
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly param?: Facts;
}

export interface Root extends Node {
  readonly $defs: Readonly<Record<string, Node>>;
}

export const LEVELS = ["basic", "advanced", "expert"] as const;
export type Level = (typeof LEVELS)[number];

/** Is a parameter of the level `of` shown to somebody who chose `chosen`? */
export function isWithin(of: Level, chosen: Level): boolean {
  return LEVELS.indexOf(of) <= LEVELS.indexOf(chosen);
}
