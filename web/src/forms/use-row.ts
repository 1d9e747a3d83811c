import { useMemo, useSyncExternalStore } from "react";
import { useForm } from "./context";
import type { Field, Spec } from "./fields";
import { baseOf, type Form, type FormState, isEdited, isShown, type Said, specOf } from "./form";
import { getIn } from "./paths";

/** All that is drawn of a parameter. */
export interface RowState {
  readonly isThere: boolean;
  readonly spec: Spec | null;
  readonly own: unknown;
  readonly base: unknown;
  readonly isEdited: boolean;
  readonly said: readonly Said[] | undefined;
  readonly isIdle: boolean;
  readonly kind: string;
  readonly meant: unknown;
  readonly isFound: boolean;
}

/** What one row shows. Each row asks at each key, so whatever stayed the same answers before anything is made. */
export function useRow(field: Field, path: string): RowState {
  const { form } = useForm();
  const snapshot = useMemo(() => reader(form, field, path), [form, field, path]);
  return useSyncExternalStore(form.store.subscribe, snapshot);
}

function reader(form: Form, field: Field, path: string): () => RowState {
  let last: FormState | null = null;
  let found: RowState | null = null;
  return () => {
    const now = form.state;
    if (found && last && (last === now || isLike(last, now, field, path))) {
      last = now;
      return found;
    }
    const next = rowOf(now, field, path);
    // Something around it changed, but nothing of it.
    if (!found || !isAlike(found, next)) found = next;
    last = now;
    return found;
  };
}

function isLike(a: FormState, b: FormState, field: Field, path: string): boolean {
  return (
    a.base === b.base &&
    a.idle === b.idle &&
    a.meant === b.meant &&
    a.level === b.level &&
    a.isChangedOnly === b.isChangedOnly &&
    a.isIdleShown === b.isIdleShown &&
    a.revealed === b.revealed &&
    a.kept === b.kept &&
    a.said[path] === b.said[path] &&
    (a.data === b.data ||
      (getIn(a.data, path) === getIn(b.data, path) &&
        (!field.union || getIn(a.data, field.union.typePath) === getIn(b.data, field.union.typePath))))
  );
}

function rowOf(state: FormState, field: Field, path: string): RowState {
  return {
    isThere: isShown(state, field, path),
    spec: specOf(state, field),
    // A list of sections looks after its entries itself.
    own: field.children.length > 0 ? undefined : getIn(state.data, path),
    base: baseOf(state, field, path),
    isEdited: isEdited(state, field, path),
    said: state.said[path],
    isIdle: state.idle.has(field.pattern),
    kind: state.kind,
    meant: getIn(state.meant, field.pattern) ?? state.meant[field.pattern],
    isFound: state.revealed === path,
  };
}

function isAlike(a: RowState, b: RowState): boolean {
  return (Object.keys(a) as (keyof RowState)[]).every((key) => Object.is(a[key], b[key]));
}
