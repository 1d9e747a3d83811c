import { notifications } from "@mantine/notifications";
import { useEffect, useRef } from "react";
import { getRunConfig } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import type { Form } from "@/forms/form";
import { isPlain, type Plain, setIn } from "@/forms/paths";
import { addDraft, EMPTY, isUntouched } from "./drafts";
import type { Place } from "./train-page";

const ASKED = ["dataset", "model", "preset", "from"] as const;

/** Does the address ask for something? Until that is there, nothing is proposed. */
export function isArriving(place: Place): boolean {
  return ASKED.some((each) => place[each]);
}

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
      // The rest is proposed, unless it is a run's.
      if (!isUntouched(form)) addDraft(next, !from);
      else if (from) form.replace(next);
      else form.propose(next);
      const mode = from ? { mode: "all" as const } : {};
      go({ ...mode, dataset: undefined, model: undefined, preset: undefined, from: undefined });
    };
    if (!from) return begin(EMPTY);
    getRunConfig({ path: { run_id: from } })
      .then(({ data }) => begin(isPlain(data) && isPlain(data.config) ? data.config : EMPTY))
      .catch((error) => {
        go({ from: undefined });
        notifications.show({
          color: "red",
          title: "The run's settings could not be read",
          message: problemOf(error).message,
        });
      });
  }, [form, dataset, model, preset, from, go]);
}
