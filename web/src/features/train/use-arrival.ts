import { notifications } from "@mantine/notifications";
import { useEffect, useRef } from "react";
import { getRunConfig } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { isPlain, type Plain, setIn } from "@/forms/paths";
import { addDraft, EMPTY, isUntouched } from "./drafts";
import type { Place } from "./train-page";

/** What an address asks for (a dataset, a model, a preset, a run to begin from) becomes a draft, once. */
export function useArrival(form: Form, place: Place, go: (to: Place) => void): void {
  const { dataset, model, preset, from } = place;
  const done = useRef("");
  useEffect(() => {
    const asked = JSON.stringify([dataset, model, preset, from]);
    if (!(dataset || model || preset || from) || done.current === asked) return;
    done.current = asked;
    const begin = (data: Plain) => {
      let next = data;
      if (dataset) next = setIn(next, "datasets.0.path", `dataset:${dataset}`);
      if (model) next = setIn(next, "model.path", model);
      if (preset) next = setIn(next, "preset", preset);
      if (isUntouched(form.state.data)) form.replace(next);
      else addDraft(next);
      go({ dataset: undefined, model: undefined, preset: undefined, from: undefined });
    };
    if (!from) return begin(EMPTY);
    getRunConfig({ path: { run_id: from } })
      .then(({ data }) => begin(isPlain(data) && isPlain(data.config) ? data.config : EMPTY))
      .catch((error) =>
        notifications.show({
          color: "red",
          title: "The run's settings could not be read",
          message: problemOf(error).message,
        }),
      );
  }, [form, dataset, model, preset, from, go]);
}
