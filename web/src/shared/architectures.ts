import { useQuery } from "@tanstack/react-query";
import { listArchitecturesOptions } from "@/api/generated/@tanstack/react-query.gen";

/** What people call an architecture, by its name; the name itself until that is known. */
export function useArchitectureTitles(): (name: string | null | undefined) => string | null {
  const { data } = useQuery({ ...listArchitecturesOptions(), staleTime: 600_000 });
  return (name) => data?.find((each) => each.name === name)?.title ?? name ?? null;
}
