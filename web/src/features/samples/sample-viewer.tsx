import { useQuery } from "@tanstack/react-query";
import { listRunSamplesOptions } from "@/api/generated/@tanstack/react-query.gen";
import { nearest } from "@/shared/steps";
import { type SamplesSearch, shownOf } from "./shown";
import { Viewer } from "./viewer";

interface Props {
  runId: string;
  search: SamplesSearch;
  onChange: (change: SamplesSearch) => void;
}

/** The full-screen viewer, when the address says so. */
export function SampleViewer({ runId, search, onChange }: Props) {
  const { data } = useQuery({ ...listRunSamplesOptions({ path: { run_id: runId } }), enabled: Boolean(search.open) });
  if (!search.open || !data) return null;
  const shown = shownOf(data);
  const step = nearest(shown.steps, search.step);
  if (step === undefined) return null;
  return <Viewer runId={runId} shown={shown} step={step} search={search} onChange={onChange} />;
}
