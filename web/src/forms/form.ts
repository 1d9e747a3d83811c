/** The state of one form: what was typed, what it stands on (preset and defaults), what is wrong, what is shown. */
import { createStore, type StoreApi } from "zustand";
import type { Field, FormModel, Spec } from "./fields";
import { getIn, isPlain, isSame, leaves, type Plain, patternOf, plainPatternOf, setIn, unsetIn } from "./paths";
import { isWithin, type Level } from "./schema";

export interface Said {
  readonly level: "error" | "warning" | "note";
  readonly message: string;
  readonly code: string;
  readonly fix: readonly Change[];
}

export interface Change {
  readonly path: string;
  readonly value?: unknown;
  readonly remove?: boolean;
}

export interface FormState {
  /** Only what was chosen, as in a job file. */
  readonly data: Plain;
  readonly past: readonly Plain[];
  readonly future: readonly Plain[];
  /** What a preset says, under what was chosen. */
  readonly base: Plain;
  readonly said: Readonly<Record<string, readonly Said[]>>;
  /** Patterns of parameters that do nothing for the chosen kind of model. */
  readonly idle: ReadonlySet<string>;
  /** The name of that kind. */
  readonly kind: string;
  /** What is meant where nothing is chosen, by pattern. */
  readonly meant: Plain;
  readonly level: Level;
  readonly isChangedOnly: boolean;
  /** Also what has no effect. */
  readonly isIdleShown: boolean;
  /** A path that somebody jumped to: shown whatever else says, and marked for a moment. */
  readonly revealed: string | null;
  /** What was touched since tab and level were chosen: nothing vanishes under the hands of who resets or mends it. */
  readonly kept: ReadonlySet<string>;
  readonly helpOf: { field: Field; path: string; anchor: HTMLElement } | null;
}

const MOST_STEPS_BACK = 200;
const ONE_EDIT_MS = 1_000;
const MARKED_MS = 2_500;

export class Form {
  readonly store: StoreApi<FormState>;
  private last = { path: "", time: 0 };
  private proposal: Plain | null = null;

  constructor(
    readonly model: FormModel,
    data: Plain,
  ) {
    this.store = createStore<FormState>()(() => ({
      data,
      past: [],
      future: [],
      base: {},
      said: {},
      idle: new Set<string>(),
      kind: "",
      meant: {},
      level: "basic",
      isChangedOnly: false,
      isIdleShown: false,
      revealed: null,
      kept: new Set<string>(),
      helpOf: null,
    }));
  }

  get state(): FormState {
    return this.store.getState();
  }

  /** Fill in what nobody chose. No step back leads before it. */
  propose(data: Plain): void {
    this.proposal = data;
    this.store.setState({ data });
  }

  /** Is it still what was proposed, and nothing that somebody chose? */
  get isProposal(): boolean {
    return this.state.data === this.proposal;
  }

  /** Give a parameter a value. Keys pressed one after another in one field are one step back. */
  set(path: string, value: unknown): void {
    const next = value === undefined ? unsetIn(this.state.data, path) : setIn(this.state.data, path, value);
    const now = Date.now();
    const isSameEdit = this.last.path === path && now - this.last.time < ONE_EDIT_MS && this.state.past.length > 0;
    this.last = { path, time: now };
    this.keep([path]);
    this.to(next, isSameEdit);
  }

  /** Choose what is shown. What was kept in sight until now goes. */
  look(at: Pick<FormState, "level" | "isChangedOnly">): void {
    const { revealed } = this.state;
    this.store.setState({ ...at, kept: new Set(revealed === null ? [] : [revealed]) });
  }

  /** Show a parameter and mark it, whatever hid it. */
  reveal(path: string): void {
    this.keep([path]);
    this.store.setState({ revealed: path });
    window.setTimeout(() => {
      if (this.state.revealed === path) this.store.setState({ revealed: null });
    }, MARKED_MS);
  }

  /** Another type of optimizer, network or schedule: what it does not know is taken out. */
  setType(union: string, type: string): void {
    const own = getIn(this.state.data, union);
    let section: Plain = isPlain(own) ? own : {};
    for (const [path] of leaves(section)) {
      const field = this.model.byPattern.get(`${union}.${patternOf(path)}`) ?? this.pairs(`${union}.${path}`);
      if (path !== "type" && !field?.union?.specs[type]) section = unsetIn(section, path);
    }
    this.last = { path: "", time: 0 };
    this.to(setIn(this.state.data, union, { ...section, type }), false);
  }

  apply(changes: readonly Change[]): void {
    const next = changes.reduce(
      (data, each) => (each.remove ? unsetIn(data, each.path) : setIn(data, each.path, each.value)),
      this.state.data,
    );
    this.keep(changes.map((each) => each.path));
    this.replace(next);
  }

  replace(data: Plain): void {
    this.last = { path: "", time: 0 };
    this.to(data, false);
  }

  undo(): void {
    const { past, future, data } = this.state;
    const before = past.at(-1);
    if (!before) return;
    this.last = { path: "", time: 0 };
    this.store.setState({ data: before, past: past.slice(0, -1), future: [data, ...future] });
  }

  redo(): void {
    const { past, future, data } = this.state;
    const [next, ...rest] = future;
    if (!next) return;
    this.last = { path: "", time: 0 };
    this.store.setState({ data: next, past: [...past, data], future: rest });
  }

  /** Show what the server said; what stayed the same stays the same object, so that its field is not drawn again. */
  tell(said: FormState["said"]): void {
    const before = this.state.said;
    const kept = Object.entries(said).map(([path, list]) => {
      const old = before[path];
      return [path, old && isSame(old, list) ? old : list] as const;
    });
    this.store.setState({ said: Object.fromEntries(kept) });
  }

  private keep(paths: readonly string[]): void {
    const { kept } = this.state;
    if (!paths.every((each) => kept.has(each))) this.store.setState({ kept: new Set([...kept, ...paths]) });
  }

  private to(data: Plain, isSameEdit: boolean): void {
    const { data: before, past } = this.state;
    if (isSame(before, data)) return;
    this.store.setState({
      data,
      past: isSameEdit ? past : [...past.slice(1 - MOST_STEPS_BACK), before],
      future: [],
    });
  }

  private pairs(path: string): Field | undefined {
    return this.model.byPattern.get(path.split(".").slice(0, -1).join("."));
  }
}

/** The chosen type of a union. */
export function typeOf(state: FormState, field: Field): string | null {
  if (!field.union) return null;
  const found = getIn(state.data, field.union.typePath) ?? getIn(state.base, field.union.typePath);
  return typeof found === "string" && Object.hasOwn(field.union.specs, found) ? found : knownOr(found, field);
}

function knownOr(found: unknown, field: Field): string {
  return typeof found === "string" ? found : (field.union?.usual ?? "");
}

/** What the parameter takes now; null where it does not exist with the chosen type. */
export function specOf(state: FormState, field: Field): Spec | null {
  return field.union ? (field.union.specs[typeOf(state, field) ?? ""] ?? null) : field.spec;
}

/** What holds where nothing was chosen: the preset's, or the default. */
export function baseOf(state: FormState, field: Field, path: string): unknown {
  const spec = specOf(state, field);
  const preset = getIn(state.base, plainPatternOf(path));
  if (preset === undefined) return spec?.usual;
  const union = field.union;
  if (!union) return preset;
  const presets = getIn(state.base, union.typePath) ?? union.usual;
  return presets === typeOf(state, field) ? preset : spec?.usual;
}

/** Was something chosen that is not what holds anyway? */
export function isEdited(state: FormState, field: Field, path: string): boolean {
  const own = getIn(state.data, path);
  return own !== undefined && !isSame(own, baseOf(state, field, path));
}

export function isShown(state: FormState, field: Field, path: string): boolean {
  if (specOf(state, field) === null) return false;
  if (state.revealed === path || state.kept.has(path)) return true;
  if (field.children.length > 0 && state.isChangedOnly) return getIn(state.data, path) !== undefined;
  const edited = isEdited(state, field, path);
  if (edited || hasError(state.said[path])) return true;
  if (state.isChangedOnly) return false;
  if (state.idle.has(field.pattern) && !state.isIdleShown) return false;
  return isWithin(field.facts.level, state.level);
}

function hasError(said: readonly Said[] | undefined): boolean {
  return said?.some((each) => each.level !== "note") ?? false;
}
