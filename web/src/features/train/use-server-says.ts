/** What the server says about the draft: problems and plan, asked again a moment after each change; the latest wins. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useStore } from "zustand";
import { getPresetOptions, listArchitectureFormsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { checkConfigDraft, planConfigDraft } from "@/api/generated/sdk.gen";
import type { CheckConfigDraftResponse } from "@/api/generated/types.gen";
import type { Form, FormState } from "@/forms/form";
import { isPlain } from "@/forms/paths";
import { useSettled } from "./settled";

export type CheckOut = CheckConfigDraftResponse;
export type FindingOut = CheckOut["findings"][number];

export interface Wish {
  /** A number of pictures that is only spoken of. */
  pictures?: number;
  /** Of another card, in GiB. */
  card?: number;
  steps?: number;
}

export function useCheck(form: Form) {
  const data = useSettled(form);
  return useQuery({
    queryKey: ["check", data],
    queryFn: async ({ signal }) => (await checkConfigDraft({ body: { data }, signal })).data,
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  });
}

export function usePlan(form: Form, wish: Wish) {
  const data = useSettled(form);
  return useQuery({
    queryKey: ["plan", data, wish],
    queryFn: async ({ signal }) => {
      const typed = wish.pictures ? { pictures: wish.pictures } : null;
      const body = { data, typed, gpu_memory_gib: wish.card ?? null, wanted_steps: wish.steps ?? null };
      return (await planConfigDraft({ body, signal })).data;
    },
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  });
}

/** Tells the form what the server said: problems at their fields, what has no effect, what the preset holds. */
export function useTellForm(form: Form): void {
  const check = useCheck(form).data;
  const forms = useQuery({ ...listArchitectureFormsOptions(), staleTime: Number.POSITIVE_INFINITY }).data;
  const name = useStore(form.store, (state) => state.data.preset);
  const preset = useQuery({
    ...getPresetOptions({ path: { name: typeof name === "string" ? name : "" } }),
    enabled: typeof name === "string" && name !== "",
    staleTime: 60_000,
    retry: false,
  });
  const base = typeof name === "string" && name !== "" ? preset.data?.settings : undefined;
  useEffect(() => {
    form.store.setState({ base: isPlain(base) ? base : {} });
  }, [form, base]);
  useEffect(() => {
    if (check) form.tell(byField(check.findings));
  }, [form, check]);
  const architecture = check?.architecture ?? null;
  useEffect(() => {
    const found = forms?.find((each) => each.architecture === architecture);
    form.store.setState({
      idle: new Set(found?.without_effect ?? []),
      kind: found?.title ?? "",
      meant: found?.meant_by_null ?? {},
    });
  }, [form, forms, architecture]);
}

export function byField(findings: readonly FindingOut[]): FormState["said"] {
  const found: Record<string, { level: FindingOut["level"]; message: string; code: string; fix: FindingOut["fix"] }[]> =
    {};
  for (const { level, message, code, fix, fields } of findings) {
    for (const path of fields) found[path] = [...(found[path] ?? []), { level, message, code, fix }];
  }
  return found;
}
