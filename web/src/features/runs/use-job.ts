import { useQuery } from "@tanstack/react-query";
import { getJobOptions, listJobsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { JobDetails } from "@/api/generated/types.gen";

/** The job of a run; undefined while it loads and for a run that no queue knows, such as an old one of the command line. */
export function useJob(runId: string): JobDetails | undefined {
  const { data: jobs } = useQuery(listJobsOptions());
  const isKnown = jobs?.some((job) => job.id === runId) ?? false;
  const { data } = useQuery({ ...getJobOptions({ path: { job_id: runId } }), enabled: isKnown });
  return isKnown ? data : undefined;
}
