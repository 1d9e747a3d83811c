/** Out of the JSON schema: every parameter with its place in the form, its widget, limits and names. */
import { type Facts, LEVELS, type Node, type Root } from "./schema";
import { number, sentence, shown } from "./words";

export type Kind =
  | "text" | "number" | "switch" | "select" | "path" | "size" | "texts" | "sizes" | "numbers" | "lines" | "pairs"
  | "sections" | "fixed"; // biome-ignore format: as a list

/** What a parameter takes. In a union (optimizer, network, schedule) each type may have its own. */
export interface Spec {
  readonly kind: Kind;
  readonly nullable: boolean;
  /** undefined: it must be given. */
  readonly usual: unknown;
  readonly help: string;
  readonly isWhole: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  /** "at least 1, at most 1024"; empty where there are none. */
  readonly limits: string;
  /** Words that stand in the place of a number, such as auto. */
  readonly words: readonly string[];
  readonly options: readonly { value: string; label: string }[];
  /** Options that are numbers. */
  readonly isNumeric: boolean;
}

export interface Union {
  readonly path: string;
  /** Where the type stands that decides about the others: `optimizer.type`. */
  readonly typePath: string;
  readonly usual: string;
  readonly specs: Readonly<Record<string, Spec>>;
}

export interface Field {
  /** From the scope that it is in: the job, or an entry of a list. */
  readonly key: string;
  /** `datasets[].captions.shuffle` */
  readonly pattern: string;
  readonly label: string;
  readonly facts: Facts;
  readonly spec: Spec;
  readonly union: Union | null;
  /** Of an entry of a list of sections. */
  readonly children: readonly Field[];
}

export interface Group {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Takes the whole width. */
  readonly isWide: boolean;
}

export interface Tab {
  readonly name: string;
  readonly groups: readonly Group[];
}

export interface FormModel {
  readonly tabs: readonly Tab[];
  readonly fields: readonly Field[];
  readonly byPattern: ReadonlyMap<string, Field>;
}

/** Names that a feature gives to parameters and options, in the place of those made of their keys. */
export interface Names {
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** What stands before everything else of its group. */
  readonly first: readonly string[];
}

export function modelOf(root: Root, tabs: readonly string[], names: Names): FormModel {
  const fields = ordered(new Reader(root, names).scope(root, "", ""), names.first);
  const flat = fields.flatMap((each) => [each, ...each.children.flatMap(deep)]);
  const listed = [...tabs, ...new Set(fields.map((each) => each.facts.tab).filter((each) => !tabs.includes(each)))];
  return {
    tabs: listed.map((name) => ({ name, groups: groupsOf(fields.filter((each) => each.facts.tab === name)) })),
    fields: flat,
    byPattern: new Map(flat.map((each) => [each.pattern, each])),
  };
}

/** What most people need comes first. */
function ordered(fields: readonly Field[], first: readonly string[]): Field[] {
  const rank = (field: Field) => {
    if (first.includes(field.pattern)) return first.indexOf(field.pattern) - first.length;
    return field.children.length > 0 ? LEVELS.length : LEVELS.indexOf(field.facts.level);
  };
  return fields.map((each) => ({ ...each, children: ordered(each.children, first) })).sort((a, b) => rank(a) - rank(b));
}

function deep(field: Field): Field[] {
  return [field, ...field.children.flatMap(deep)];
}

export function groupsOf(fields: readonly Field[]): Group[] {
  const found = new Map<string, Field[]>();
  for (const field of fields) {
    const isWide = field.children.length > 8;
    const name = isWide ? field.label : field.facts.group;
    found.set(name, [...(found.get(name) ?? []), field]);
  }
  return [...found].map(([name, inside]) => ({
    name,
    fields: inside,
    isWide: inside.some((f) => f.children.length > 8),
  }));
}

class Reader {
  constructor(
    private readonly root: Root,
    private readonly names: Names,
  ) {}

  scope(section: Node, keys: string, pattern: string): Field[] {
    return Object.entries(section.properties ?? {}).flatMap(([name, node]) => {
      const key = keys + name;
      const path = pattern + name;
      const inner = this.section(node);
      if (node.discriminator) return this.union(node, node.discriminator.mapping, key, path);
      if (inner && node.type !== "array") return this.scope(inner, `${key}.`, `${path}.`);
      return [this.field(node, name, key, path, inner ? this.scope(inner, "", `${path}[].`) : [])];
    });
  }

  private union(node: Node, mapping: Readonly<Record<string, string>>, key: string, path: string): Field[] {
    const found = new Map<string, { field: Field; specs: Record<string, Spec> }>();
    const usual = String((node.default as { type?: unknown } | undefined)?.type ?? Object.keys(mapping)[0]);
    const types = [usual, ...Object.keys(mapping).filter((each) => each !== usual)];
    for (const type of types) {
      const section = this.def(mapping[type] ?? "");
      for (const field of this.scope(section, `${key}.`, `${path}.`)) {
        const before = found.get(field.key) ?? { field, specs: {} };
        before.specs[type] = field.spec;
        found.set(field.key, before);
      }
    }
    const fields = [...found.values()].map(({ field, specs }): Field => {
      if (field.key !== `${key}.type`) return { ...field, union: { path: key, typePath: `${key}.type`, usual, specs } };
      const options = types.map((type) => ({ value: type, label: this.option(path, type, mapping[type] ?? "") }));
      return {
        ...field,
        union: null,
        spec: { ...field.spec, kind: "select", usual, options, help: node.description ?? "" },
      };
    });
    // The type decides about the others, so it comes first.
    return fields.sort((a, b) => Number(b.key === `${key}.type`) - Number(a.key === `${key}.type`));
  }

  private option(path: string, type: string, ref: string): string {
    return (
      this.names.options[`${path}.type`]?.[type] ??
      ref
        .split("/")
        .pop()
        ?.replace(/(Config|Schedule)$/, "") ??
      type
    );
  }

  private field(node: Node, name: string, key: string, pattern: string, children: Field[]): Field {
    if (!node.param) throw new Error(`The schema says nothing about the place of ${pattern}.`);
    const label = this.names.labels[pattern] ?? sentence(name);
    return { key, pattern, label, facts: node.param, spec: this.spec(node, pattern, name), union: null, children };
  }

  private spec(node: Node, pattern: string, name: string): Spec {
    const parts = (node.anyOf ?? [node]).filter((each) => each.type !== "null");
    const main = parts[0] ?? node;
    const numeric = parts.find((each) => each.type === "integer" || each.type === "number");
    const words = numeric ? parts.flatMap((each) => [...(each.enum ?? []), each.const]) : [];
    const minimum = numeric?.minimum ?? numeric?.exclusiveMinimum;
    const maximum = numeric?.maximum ?? numeric?.exclusiveMaximum;
    const own = this.names.options[pattern] ?? {};
    return {
      kind: this.kind(node, parts, main, name),
      nullable: (node.anyOf ?? []).some((each) => each.type === "null"),
      usual: node.default,
      help: node.description ?? "",
      isWhole: numeric?.type === "integer",
      minimum,
      maximum,
      limits: limitsOf(numeric ?? {}),
      words: words.filter((each) => typeof each === "string"),
      options: (main.enum ?? []).map((each) => ({ value: String(each), label: own[String(each)] ?? String(each) })),
      isNumeric: main.enum !== undefined && main.type === "integer",
    };
  }

  private kind(node: Node, parts: readonly Node[], main: Node, name: string): Kind {
    if (node.const !== undefined) return "fixed";
    if (main.enum) return "select";
    if (parts.some((each) => each.prefixItems)) return "size";
    if (main.type === "boolean") return "switch";
    if (main.type === "integer" || main.type === "number") return "number";
    if (main.type === "object") return "pairs";
    if (main.type !== "array") return node.param?.path ? "path" : "text";
    const entry = main.items ?? {};
    if (entry.$ref) return "sections";
    if (entry.anyOf?.some((each) => each.prefixItems)) return "sizes";
    if (entry.type === "integer" || entry.type === "number") return "numbers";
    return name === "prompts" ? "lines" : "texts";
  }

  private section(node: Node): Node | null {
    const ref = node.$ref ?? (node.type === "array" ? node.items?.$ref : undefined);
    const found = ref ? this.def(ref) : null;
    return found?.properties ? found : null;
  }

  private def(ref: string): Node {
    const found = this.root.$defs[ref.split("/").pop() ?? ""];
    if (!found) throw new Error(`The schema lacks ${ref}.`);
    return found;
  }
}

function limitsOf(node: Node): string {
  const far = (value: number | undefined) => value === undefined || Math.abs(value) > 1e15;
  return [
    far(node.minimum) ? "" : `at least ${shown(node.minimum)}`,
    far(node.exclusiveMinimum) ? "" : `above ${shown(node.exclusiveMinimum)}`,
    far(node.maximum) ? "" : `at most ${number(node.maximum ?? 0)}`,
    far(node.exclusiveMaximum) ? "" : `below ${shown(node.exclusiveMaximum)}`,
  ]
    .filter(Boolean)
    .join(", ");
}
