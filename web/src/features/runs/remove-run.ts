import { deleteJob, deleteRun } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";

/** Delete a run, whether the queue knows it or not. Gives its id in the trash. */
export async function removeRun(id: string): Promise<string | null> {
  try {
    return (await deleteJob({ path: { job_id: id } })).data.trash;
  } catch (error) {
    if (problemOf(error).code !== "no_job") throw error;
  }
  return (await deleteRun({ path: { run_id: id } })).data.id;
}
