import { SegmentedControl, Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo } from "react";
import { getConfigSchemaOptions } from "@/api/generated/@tanstack/react-query.gen";
import { modelOf } from "@/forms/fields";
import { FocusKeeper } from "@/forms/focus-keeper";
import type { Form } from "@/forms/form";
import { FormProvider } from "@/forms/form-provider";
import type { Level, Root } from "@/forms/schema";
import { PageHead } from "@/shared/page-head";
import { useShortcut } from "@/shared/shortcuts";
import { Failed } from "@/shared/states";
import { DraftMenu } from "./draft-menu";
import { currentId, formOf, useDrafts } from "./drafts";
import { DropSettings } from "./drop-settings";
import { jump } from "./jump";
import { NAMES, TABS } from "./names";
import { SettingsView } from "./settings-view";
import { SideOrBar } from "./side-or-bar";
import { isArriving, useArrival } from "./use-arrival";
import { useTellForm } from "./use-server-says";
import { WIDGETS } from "./widgets";

const Guided = lazy(() => import("./guided"));
const YamlView = lazy(() => import("./yaml-view"));

export interface Place {
  mode?: "guided" | "all" | "yaml";
  tab?: string;
  level?: Level;
  changed?: boolean;
  dataset?: string;
  preset?: string;
  from?: string;
  model?: string;
  /** A setting to lead to. */
  field?: string;
}

interface Props {
  place: Place;
  go: (to: Place, replace?: boolean) => void;
  started: (id: string) => void;
}

/** Write a job: led by questions, with every setting, or as text. */
export function TrainPage(props: Props) {
  const schema = useQuery({ ...getConfigSchemaOptions(), staleTime: Number.POSITIVE_INFINITY });
  const model = useMemo(
    () => (schema.data ? modelOf(schema.data as unknown as Root, TABS, NAMES) : null),
    [schema.data],
  );
  const id = useDrafts(currentId);
  if (schema.error) return <Failed error={schema.error} again={schema.refetch} />;
  if (!model) return <Waiting />;
  return <Inside key={id} {...props} form={formOf(model, id)} />;
}

function Inside({ form, place, go, started }: Props & { form: Form }) {
  useTellForm(form);
  useArrival(form, place, go);
  useShortcut("mod+z", "Undo", () => form.undo(), { group: "Train", whileTyping: true });
  useShortcut("mod+shift+z", "Redo", () => form.redo(), { group: "Train", whileTyping: true });
  const mode = place.mode ?? "guided";
  const jumpTo = (path: string) =>
    jump(form, path, (tab) => go({ mode: "all", tab, changed: undefined, field: undefined }, mode === "all"));
  const wanted = isArriving(place) ? undefined : place.field;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each setting that is asked for
  useEffect(() => {
    if (!wanted) return;
    go({ field: undefined });
    jumpTo(wanted);
  }, [wanted, form]);
  return (
    <FormProvider form={form} widgets={WIDGETS}>
      <FocusKeeper>
        <SideOrBar form={form} jump={jumpTo} started={started}>
          <Stack gap="md">
            <PageHead title="Train" actions={<DraftMenu form={form} go={(to) => go({ mode: to })} />} />
            <SegmentedControl
              aria-label="How to write the job"
              data={[
                { value: "guided", label: "Guided" },
                { value: "all", label: "All settings" },
                { value: "yaml", label: "YAML" },
              ]}
              value={mode}
              onChange={(value) => go({ mode: value as Place["mode"] }, false)}
              style={{ alignSelf: "flex-start" }}
            />
            <Suspense fallback={<Skeleton h="30rem" />}>
              {mode === "guided" && (
                <Guided form={form} isArriving={isArriving(place)} showAll={() => go({ mode: "all" }, false)} />
              )}
              {mode === "yaml" && <YamlView form={form} />}
            </Suspense>
            {mode === "all" && (
              <div>
                <SettingsView
                  model={form.model}
                  form={form}
                  place={{
                    tab: place.tab ?? TABS[0],
                    level: place.level ?? "basic",
                    isChangedOnly: place.changed ?? false,
                  }}
                  go={(to) =>
                    go({
                      ...("tab" in to && { tab: to.tab }),
                      ...("level" in to && { level: to.level }),
                      ...("isChangedOnly" in to && { changed: to.isChangedOnly || undefined }),
                    })
                  }
                />
              </div>
            )}
          </Stack>
        </SideOrBar>
      </FocusKeeper>
      <DropSettings imported={() => go({ mode: "all" })} />
    </FormProvider>
  );
}

function Waiting() {
  return (
    <Stack gap="md">
      <PageHead title="Train" />
      <Skeleton h={36} w="18rem" />
      <Skeleton h="30rem" role="status" aria-label="Loading the settings" />
    </Stack>
  );
}
