import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { listDatasetsOptions, listModelsOptions, systemOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Form } from "@/forms/form";
import { DEMO, datasetOf, isFresh, withDataset, withModel, withPrompts } from "./guided-choices";
import { captionsOf } from "./guided-dataset";

/** Fills a draft in which nothing was chosen: the newest dataset, and a model that this machine can train. */
export function useProposal(form: Form): void {
  const system = useQuery({ ...systemOptions(), staleTime: 30_000 });
  const models = useQuery(listModelsOptions({ query: { kind: "model" } }));
  const datasets = useQuery(listDatasetsOptions());
  useEffect(() => {
    if (!system.data || !models.data || !datasets.data || !isFresh(form.state.data)) return;
    const hasCard = system.data.gpus.length > 0;
    const own = models.data.models.find((each) => each.architecture !== null && each.path !== DEMO);
    const model = hasCard && own ? own.path : DEMO;
    let data = withModel(form.state.data, model, null);
    const chosen = datasetOf(data);
    const newest = datasets.data.datasets.toSorted(
      (a, b) => (b.summary?.changed_ns ?? 0) - (a.summary?.changed_ns ?? 0),
    );
    const dataset = chosen ? newest.find((each) => each.id === chosen) : newest[0];
    if (dataset) data = withDataset(data, dataset.id, dataset.name, []);
    form.replace(data);
    if (!dataset) return;
    void captionsOf(dataset.id).then((captions) => {
      if (datasetOf(form.state.data) === dataset.id) form.replace(withPrompts(form.state.data, captions));
    });
  }, [form, system.data, models.data, datasets.data]);
}
