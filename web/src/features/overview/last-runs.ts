/** What Home asks for of the runs: the same everywhere, so that it is asked once. */
export const LAST_RUNS = { query: { limit: 50, sort: "updated", descending: true } } as const;
