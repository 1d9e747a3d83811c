import type { InvalidateQueryFilters, QueryClient } from "@tanstack/react-query";

/**
 * Something has changed on the server: ask for it anew where it is shown. Also where the first answer is still on its
 * way: it may have been made before the change, and a query on its first way takes no notice of being invalidated.
 */
export function markStale(queries: QueryClient, filters?: InvalidateQueryFilters): Promise<void> {
  for (const query of queries.getQueryCache().findAll(filters)) {
    if (query.state.fetchStatus !== "fetching" || query.state.data !== undefined) continue;
    const again = () => void queries.invalidateQueries({ queryKey: query.queryKey, exact: true });
    query.promise?.then(again, () => {}); // one that fails is shown as failed, and can be tried again
  }
  return queries.invalidateQueries(filters);
}
