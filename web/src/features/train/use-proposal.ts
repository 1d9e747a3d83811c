import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { listDatasetsOptions, listModelsOptions, systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Form } from "@/forms/form";
import { getIn, isSame } from "@/forms/paths";
import { isUntouched } from "./drafts";
import { DEMO, datasetOf, withDataset, withModel, withPrompts } from "./guided-choices";
import { captionsOf } from "./guided-dataset";

/** Fills a draft in which nobody chose anything: the newest dataset, and a model that this machine can train. */
export function useProposal(form: Form, isOff: boolean): void {
  const system = useQuery({ ...systemOptions(), staleTime: 30_000 });
  const models = useQuery(listModelsOptions({ query: { kind: "model" } }));
  const datasets = useQuery(listDatasetsOptions());
  useEffect(() => {
    if (isOff || !system.data || !models.data || !datasets.data || !isUntouched(form)) return;
    const { data } = form.state;
    const hasCard = system.data.gpus.length > 0;
    const own = models.data.models.find((each) => each.architecture !== null && each.path !== DEMO);
    const asked = getIn(data, "model.path");
    let next = withModel(data, typeof asked === "string" ? asked : hasCard && own ? own.path : DEMO, null);
    const newest = datasets.data.datasets.toSorted(
      (a, b) => (b.summary?.changed_ns ?? 0) - (a.summary?.changed_ns ?? 0),
    );
    const chosen = datasetOf(data);
    const dataset = chosen ? newest.find((each) => each.id === chosen) : newest[0];
    if (dataset) next = withDataset(next, dataset.id, dataset.name, []);
    if (isSame(next, data)) return;
    form.propose(next);
    if (!dataset) return;
    void captionsOf(dataset.id).then((captions) => {
      if (datasetOf(form.state.data) !== dataset.id) return;
      const shown = withPrompts(form.state.data, captions);
      if (form.isProposal) form.propose(shown);
      else form.replace(shown);
    });
  }, [form, isOff, system.data, models.data, datasets.data]);
}
