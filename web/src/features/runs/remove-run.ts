import { deleteRun } from "@/api/generated/sdk.gen";

/** Delete a run, whether the queue knows it or not. Gives its id in the trash. */
export async function removeRun(id: string): Promise<string | null> {
  return (await deleteRun({ path: { run_id: id } })).data?.id ?? null;
}
