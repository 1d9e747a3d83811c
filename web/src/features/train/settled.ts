/** The draft a moment after it was last changed: what is asked of the server, without drawing anything at each key. */
import { useStore } from "zustand";
import { createStore, type StoreApi } from "zustand/vanilla";
import type { Form } from "@/forms/form";
import type { Plain } from "@/forms/paths";

const SOON_MS = 300;

const known = new WeakMap<Form, StoreApi<{ data: Plain }>>();

function settledOf(form: Form): StoreApi<{ data: Plain }> {
  const found = known.get(form);
  if (found) return found;
  const store = createStore(() => ({ data: form.state.data }));
  let timer = 0;
  form.store.subscribe((state, before) => {
    if (state.data === before.data) return;
    window.clearTimeout(timer);
    timer = window.setTimeout(() => store.setState({ data: form.state.data }), SOON_MS);
  });
  known.set(form, store);
  return store;
}

export function useSettled(form: Form): Plain {
  return useStore(settledOf(form), (state) => state.data);
}
